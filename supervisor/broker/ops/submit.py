"""submit: a job is checked, completed with its pool's defaults, and stored before it is answered.

A refused submit changes nothing. What the client names is only ever a name: no path of his is opened.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from supervisor.broker.holds import contents_of
from supervisor.broker.intake import Admitted, Intake, refuse_when_closing
from supervisor.broker.service import Caller, Service
from supervisor.broker.session import Session
from supervisor.core.errors import RequestError
from supervisor.store import Stored, Submission
from supervisor.wire.control import Submit


def submit_at_once(service: Service, session: Session, request: Submit) -> bool:
    """Begins the submit of a job that comes whole; it is answered once it is durable. False if it must go its long way.

    Answers what `submit` answers.
    """
    if contents_of(request):
        return False
    intake = Intake(service, session.caller)
    try:
        refuse_when_closing(service)
        admitted = intake.admit_at_once(request)
    except RequestError:
        known = intake.known([request]).get(request.request_id)
        if known is None:
            raise
        session.answer_in_turn(request.id, _answer(Stored(known, created=False)))
        return True
    if admitted is None:
        return False
    session.begun()
    service.committer.do(Submission(admitted.new), partial(_tell, session, request, admitted))
    _offer(service)
    return True


def _offer(service: Service) -> None:
    """HAZARD: order. What free workers look for comes right behind the submit, as a rule into the same transaction."""
    service.leases.work_arrived()


def _tell(session: Session, request: Submit, admitted: Admitted, stored: Stored | Exception) -> None:
    session.finish(request, stored if isinstance(stored, Exception) else _answer(stored, admitted))


async def submit(service: Service, caller: Caller, request: Submit) -> dict[str, Any]:
    """The job's id, whether this request made it, whether it is one that has the unique key, warnings, findings."""
    intake = Intake(service, caller)
    with service.holds.hold(contents_of(request)):
        try:
            refuse_when_closing(service)
            admitted = await intake.admit(request)
        except RequestError:
            known = intake.known([request]).get(request.request_id)
            if known is None:
                raise
            return _answer(Stored(known, created=False))
        storing = service.committer.run(Submission(admitted.new))
        _offer(service)
        return _answer(await storing, admitted)


def _answer(stored: Stored, admitted: Admitted | None = None) -> dict[str, Any]:
    """Of what this very request has made before no more is said."""
    if not (stored.created or stored.existing):
        admitted = None
    return {
        "job": stored.job,
        "created": stored.created,
        "existing": stored.existing,
        "warnings": admitted.warnings if admitted is not None else [],
        "findings": admitted.findings if admitted is not None else (),
    }
