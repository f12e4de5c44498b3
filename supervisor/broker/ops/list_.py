"""list: jobs, newest first, by pages."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import Any, Final

import msgspec

from supervisor.broker.in_hand import in_hand, tell_truly
from supervisor.broker.service import Caller, Service
from supervisor.store import list_views, open_reader
from supervisor.wire.control import List

PAGE_BYTES: Final = 768 << 10
DETAILS: Final = ("args", "env_names", "findings")
ONE_AT_A_TIME: Final = asyncio.Lock()
"""Impatient callers must not take all the threads that others need."""


async def list_(service: Service, caller: Caller, request: List) -> dict[str, Any]:
    """A page of jobs, and where the next one begins."""
    jobs = await _jobs(service, request, None if caller.is_admin and not request.mine else caller.uid)
    waiting = in_hand(service)
    for job in jobs:
        tell_truly(job, waiting)
    page = _within_a_line(jobs)
    more = len(page) == request.limit or len(page) < len(jobs)
    return {"jobs": page, "next": page[-1]["id"] if more else None}


async def _jobs(service: Service, request: List, owner_uid: int | None) -> list[dict[str, Any]]:
    asked: dict[str, Any] = {
        "states": request.states,
        "queue": request.queue,
        "job_type": request.type,
        "name": request.name,
        "before": request.before,
        "limit": request.limit,
        "owner_uid": owner_uid,
    }
    if all(one is None for one in (request.queue, request.type, request.name, owner_uid)):
        return list_views(service.reader, **asked)
    # Few jobs may be so, and to find them all are looked through: a second for half a million.
    async with ONE_AT_A_TIME:
        return await asyncio.to_thread(_look, service.paths.database, asked)


def _look(database: str, asked: dict[str, Any]) -> list[dict[str, Any]]:
    with closing(open_reader(database)) as reader:
        return list_views(reader, **asked)


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
