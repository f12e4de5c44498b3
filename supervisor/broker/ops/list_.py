"""list: jobs, newest first, by pages."""

from __future__ import annotations

from typing import Any

from supervisor.broker.service import Caller, Service
from supervisor.store import list_views
from supervisor.wire.control import List


async def list_(service: Service, caller: Caller, request: List) -> dict[str, Any]:
    """A page of jobs, and where the next one begins."""
    jobs = list_views(
        service.reader,
        states=request.states,
        queue=request.queue,
        job_type=request.type,
        name=request.name,
        before=request.before,
        limit=request.limit,
        owner_uid=None if caller.is_admin else caller.uid,
    )
    full = len(jobs) == request.limit
    return {"jobs": jobs, "next": jobs[-1]["id"] if full else None}
