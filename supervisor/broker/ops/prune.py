"""prune: removes jobs that are chosen by state, queue and age; with nothing chosen, what retention says.

In small steps, so that it is in nobody's way. If the client goes, it stops after the present step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final

from supervisor.broker.commit import wall_us
from supervisor.broker.retention import Step
from supervisor.broker.service import Caller, Service
from supervisor.broker.session import Session
from supervisor.core.errors import RequestError
from supervisor.core.names import FINAL_STATES, RUNNING
from supervisor.core.retention import cutoff_us
from supervisor.store import Candidate, Chosen, candidates
from supervisor.wire.control import Prune

PAGE: Final = 500


async def prune(service: Service, session: Session, request: Prune) -> int:
    """Streams what goes as it goes (`dry_run`: what would go)."""

    async def tell(step: Step) -> None:
        if step.jobs or step.outputs_jobs:
            await session.emit(request.id, _item(step))

    if request.states or request.queue is not None or request.older_than_s is not None:
        await _Selection(service, session.caller, request).remove(tell)
    elif session.caller.is_admin:
        await service.rounds.apply(tell, dry_run=request.dry_run)
    else:
        raise RequestError(
            "permission_denied", "retention is the daemon's owner's: choose your own jobs by state, queue or age"
        )
    return 0


class _Selection:
    def __init__(self, service: Service, caller: Caller, request: Prune) -> None:
        if RUNNING in request.states:
            raise RequestError(
                "wrong_state", "running jobs are never removed: cancel them first, with `workerctl cancel --wait`"
            )
        self._service = service
        self._request = request
        self._owner_uid = None if caller.is_admin else caller.uid
        self._before_us = cutoff_us(request.older_than_s, wall_us())

    async def remove(self, tell: Any) -> None:
        for state in sorted(set(self._request.states) or FINAL_STATES):
            for page in self._pages(state):
                chosen = {one.job: Chosen(state, one.moment_us) for one in page if self._fits(one)}
                if not self._request.dry_run:
                    chosen = await self._service.remover.remove(chosen, self._owner_uid)
                await tell(Step(jobs=chosen))
                await asyncio.sleep(0)

    def _pages(self, state: str) -> Iterator[list[Candidate]]:
        after = 0
        while page := candidates(self._service.reader, state, after, PAGE):
            yield page
            after = page[-1].job

    def _fits(self, one: Candidate) -> bool:
        request = self._request
        return (
            request.queue in (None, one.queue)
            and self._owner_uid in (None, one.owner_uid)
            and (self._before_us is None or one.moment_us < self._before_us)
        )


def _item(step: Step) -> dict[str, Any]:
    return {
        "jobs": [{"job": job, "state": chosen.state} for job, chosen in step.jobs.items()],
        "outputs": {"jobs": step.outputs_jobs, "bytes": step.outputs_bytes},
    }
