"""submit_many: many jobs are checked and stored in one transaction, all of them or none.

A refusal names the `place` of the job that is refused. Between jobs others get their turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
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
    """For each job what `submit` answers, in their order; of the code check's findings only the number."""
    intake = Intake(service, caller)
    known = {one.request_id: job for one in request.jobs if (job := intake.known(one)) is not None}
    unknown = [place for place, one in enumerate(request.jobs) if one.request_id not in known]
    answers = {
        place: _answer(Stored(known[one.request_id], created=False))
        for place, one in enumerate(request.jobs)
        if one.request_id in known
    }
    if unknown:
        refuse_when_closing(service)
        with service.holds.hold(contents_of(*request.jobs)):
            admitted = await _admit(intake, request.jobs, unknown)
            news = [one.new for one in admitted]
            try:
                stored = await service.committer.run(lambda tx: store_jobs(tx, news, known))
            except RequestError as error:
                raise _at_place(error, unknown) from None
        for place, one, done in zip(unknown, admitted, stored, strict=True):
            answers[place] = _answer(done, one)
    return {"jobs": [answers[place] for place in range(len(request.jobs))]}


async def _admit(intake: Intake, jobs: Sequence[JobRequest], places: Sequence[int]) -> list[Admitted]:
    admitted = []
    for count, place in enumerate(places, 1):
        try:
            admitted.append(await intake.admit(jobs[place]))
        except RequestError as error:
            raise RequestError(error.code, error.message, {**(error.data or {}), "place": place}) from None
        if count % AT_A_STRETCH == 0:
            await asyncio.sleep(0)
    return admitted


def _answer(stored: Stored, admitted: Admitted | None = None) -> dict[str, Any]:
    warnings, findings = (admitted.warnings, len(admitted.findings)) if admitted is not None else ([], 0)
    return {**stored._asdict(), "warnings": warnings, "findings": findings}


def _at_place(error: RequestError, unknown: Sequence[int]) -> RequestError:
    """The store counts only the jobs that it was given."""
    data = error.data or {}
    return (
        RequestError(error.code, error.message, {**data, "place": unknown[data["place"]]}) if "place" in data else error
    )
