"""wait: tell when jobs are final."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from supervisor.broker.service import Caller, Service, no_such_job
from supervisor.broker.session import Session
from supervisor.core.errors import RequestError
from supervisor.core.names import FINAL_STATES
from supervisor.store import job_view, owners_of, states_of
from supervisor.wire.control import Wait

AT_ONCE: Final = 32
"""So many records are sent in one piece."""
MOST_AWAITED: Final = 50_000
"""So many jobs may one connection wait for, in all its waits together."""


async def wait(service: Service, session: Session, request: Wait) -> int:
    """Streams each job's record as it becomes final; raises `wait_timeout`."""
    loop = asyncio.get_running_loop()
    deadline = None if request.timeout_s is None else loop.time() + request.timeout_s
    _check(service, session.caller, request.jobs)
    missing = dict.fromkeys(request.jobs)
    with _counted(session, len(missing)), service.feed.bell(*missing, ends_only=True) as bell:
        rung = list(missing)
        while True:
            final = _final(service, rung)
            for at in range(0, len(final), AT_ONCE):
                jobs = final[at : at + AT_ONCE]
                await session.emit_all(request.id, [_view(service, job) for job in jobs])
                for job in jobs:
                    del missing[job]
            if not missing:
                return 0
            await _ring(bell, deadline, missing)
            # Only those: of a thousand jobs that are waited for, one or two have ended.
            rung = [job for job in bell.take() if job in missing]


def _check(service: Service, caller: Caller, jobs: Sequence[int]) -> None:
    """As `Service.check_job`, for thousands."""
    owners = owners_of(service.reader, jobs)
    for job in jobs:
        if job not in owners or not (caller.is_admin or owners[job] == caller.uid):
            raise no_such_job(job)


@contextmanager
def _counted(session: Session, jobs: int) -> Iterator[None]:
    if session.awaited + jobs > MOST_AWAITED:
        raise RequestError("busy", f"this connection waits for {session.awaited} jobs, and for {MOST_AWAITED} at most")
    session.awaited += jobs
    try:
        yield
    finally:
        session.awaited -= jobs


def _view(service: Service, job: int) -> dict[str, Any]:
    view = job_view(service.reader, job)
    if view is None:
        raise _removed(job)
    return view


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
