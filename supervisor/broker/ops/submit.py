"""submit: a job is checked, completed with its pool's defaults, and stored before it is answered.

A refused submit changes nothing. What the client names is only ever a name: no path of his is opened.
"""

from __future__ import annotations

from typing import Any

from supervisor.broker.holds import contents_of
from supervisor.broker.intake import Intake, refuse_when_closing
from supervisor.broker.service import Caller, Service
from supervisor.store import submit as store_job
from supervisor.wire.control import Submit


async def submit(service: Service, caller: Caller, request: Submit) -> dict[str, Any]:
    """The job's id, whether this request made it, whether it is one that has the unique key, warnings, findings."""
    intake = Intake(service, caller)
    known = intake.known(request)
    if known is not None:
        return {"job": known, "created": False, "existing": False, "warnings": [], "findings": ()}
    refuse_when_closing(service)
    with service.holds.hold(contents_of(request)):
        new, warnings, findings = await intake.admit(request)
        storing = service.committer.run(lambda tx: store_job(tx, new))
        # HAZARD: order. What the free workers look for comes right behind it, as a rule into the same transaction.
        service.leases.work_arrived()
        stored = await storing
    return {**stored._asdict(), "warnings": warnings, "findings": findings}
