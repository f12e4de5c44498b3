"""list: jobs, newest first, by pages."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from supervisor.broker.service import Caller, Service
from supervisor.store import list_views
from supervisor.wire.control import List

PAGE_BYTES: Final = 768 << 10
DETAILS: Final = ("args", "env_names", "findings")


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
    page = _within_a_line(jobs)
    more = len(page) == request.limit or len(page) < len(jobs)
    return {"jobs": page, "next": page[-1]["id"] if more else None}


def _within_a_line(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As many of the jobs as fit into one answer, at least one; what is long about a job is for `show`."""
    size = 0
    for place, job in enumerate(jobs):
        for detail in DETAILS:
            del job[detail]
        size += len(msgspec.json.encode(job))
        if size > PAGE_BYTES and place:
            return jobs[:place]
    return jobs
