"""show: one job, whole."""

from __future__ import annotations

from typing import Any

from supervisor.broker.in_hand import in_hand, tell_truly
from supervisor.broker.service import Caller, Service, no_such_job
from supervisor.store import job_view
from supervisor.wire.control import Show


async def show(service: Service, caller: Caller, request: Show) -> dict[str, Any]:
    """The job's record."""
    service.check_job(caller, request.job)
    view = job_view(service.reader, request.job)
    if view is None:
        raise no_such_job(request.job)
    tell_truly(view, in_hand(service))
    return view
