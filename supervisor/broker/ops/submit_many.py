"""submit_many: many jobs are checked and stored in one transaction, all of them or none.

A refusal names the `place` of the job that is refused. Between jobs others get their turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from supervisor.broker.holds import contents_of
from supervisor.broker.intake import Admitted, Intake, refuse_when_closing
from supervisor.broker.service import Caller, Service
from supervisor.core.errors import RequestError
from supervisor.store import Stored
from supervisor.store import submit_many as store_jobs
from supervisor.wire.control import JobRequest, SubmitMany

AT_A_STRETCH: Final = 50
"""So many jobs are checked before others get their turn."""


async def submit_many(service: Service, caller: Caller, request: SubmitMany) -> dict[str, Any]:
    """For each job what `submit` answers, in their order; of the code check's findings only the number.

    The jobs of an earlier such request of the connection are before them.
    """
    jobs = request.jobs
    with service.holds.hold(contents_of(*jobs)):
        async with caller.bulk:
            admitted, known = await _look_at(service, Intake(service, caller), jobs)
            news = [one.new for _, one in admitted]
            storing = service.committer.run(lambda tx: store_jobs(tx, news, known)) if news else None
        answers = {
            place: _answer(Stored(known[one.request_id], created=False))
            for place, one in enumerate(jobs)
            if one.request_id in known
        }
        if storing is not None:
            try:
                stored = await storing
            except RequestError as error:
                raise _at_place(error, [place for place, _ in admitted]) from None
            for (place, one), done in zip(admitted, stored, strict=True):
                answers[place] = _answer(done, one)
    return {"jobs": [answers[place] for place in range(len(jobs))]}


async def _look_at(
    service: Service, intake: Intake, jobs: Sequence[JobRequest]
) -> tuple[list[tuple[int, Admitted]], dict[str, int]]:
    """What is to be stored, with its place, and what has been stored before."""
    known: dict[str, int] = {}
    try:
        refuse_when_closing(service)
        return await _admit(intake, jobs, known), known
    except RequestError:
        # What was stored before is answered, whatever has become forbidden since: only now does that matter.
        known = intake.known(jobs)
        if not known:
            raise
        if len(known) < len({one.request_id for one in jobs}):
            refuse_when_closing(service)
        return await _admit(intake, jobs, known), known


async def _admit(intake: Intake, jobs: Sequence[JobRequest], known: Mapping[str, int]) -> list[tuple[int, Admitted]]:
    """The places of those that are not known, and what is to be stored there."""
    admitted = []
    for place, job in enumerate(jobs):
        if job.request_id in known:
            continue
        try:
            admitted.append((place, intake.admit_at_once(job) or await intake.admit(job)))
        except RequestError as error:
            raise RequestError(error.code, error.message, {**(error.data or {}), "place": place}) from None
        if len(admitted) % AT_A_STRETCH == 0:
            await asyncio.sleep(0)
    return admitted


def _answer(stored: Stored, admitted: Admitted | None = None) -> dict[str, Any]:
    """Of what this very request has made before no more is said."""
    if not (stored.created or stored.existing):
        admitted = None
    return {
        "job": stored.job,
        "created": stored.created,
        "existing": stored.existing,
        "warnings": [] if admitted is None else admitted.warnings,
        "findings": 0 if admitted is None else len(admitted.findings),
    }


def _at_place(error: RequestError, unknown: Sequence[int]) -> RequestError:
    """The store counts only the jobs that it was given."""
    data = error.data or {}
    return (
        RequestError(error.code, error.message, {**data, "place": unknown[data["place"]]}) if "place" in data else error
    )
