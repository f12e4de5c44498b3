"""wait: tell when jobs are final."""

from __future__ import annotations

import asyncio

from supervisor.broker.service import Service
from supervisor.broker.session import Session
from supervisor.core.errors import RequestError
from supervisor.core.names import FINAL_STATES
from supervisor.store import job_view, states_of
from supervisor.wire.control import Wait


async def wait(service: Service, session: Session, request: Wait) -> int:
    """Streams each job's record as it becomes final; raises `wait_timeout`."""
    loop = asyncio.get_running_loop()
    deadline = None if request.timeout_s is None else loop.time() + request.timeout_s
    for job in request.jobs:
        service.check_job(session.caller, job)
    missing = dict.fromkeys(request.jobs)
    with service.feed.bell(*missing) as bell:
        while True:
            bell.clear()
            for job in _final(service, list(missing)):
                view = job_view(service.reader, job)
                if view is None:
                    raise _removed(job)
                await session.emit(request.id, view)
                del missing[job]
            if not missing:
                return 0
            await _ring(bell, deadline, missing)


def _final(service: Service, jobs: list[int]) -> list[int]:
    states = states_of(service.reader, jobs)
    for job in jobs:
        if job not in states:  # it was there when the wait began
            raise _removed(job)
    return [job for job in jobs if states[job] in FINAL_STATES]


def _removed(job: int) -> RequestError:
    return RequestError("not_found", f"job {job} was removed", {"job": job})


async def _ring(bell: asyncio.Event, deadline: float | None, missing: dict[int, None]) -> None:
    patience = None if deadline is None else max(0.0, deadline - asyncio.get_running_loop().time())
    try:
        await asyncio.wait_for(bell.wait(), patience)
    except TimeoutError:
        still = ", ".join(str(job) for job in list(missing)[:10])
        raise RequestError("wait_timeout", f"not ended in time: {still}", {"jobs": list(missing)}) from None
