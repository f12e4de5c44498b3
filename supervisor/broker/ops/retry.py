"""retry: a job that has ended is queued again."""

from __future__ import annotations

from typing import Any

from supervisor.broker.service import Caller, Service
from supervisor.core.names import QUEUED
from supervisor.store import retry as retry_job
from supervisor.wire.control import Retry


async def retry(service: Service, caller: Caller, request: Retry) -> dict[str, Any]:
    """Answered when it is queued."""
    service.check_job(caller, request.job)
    await service.committer.run(lambda tx: retry_job(tx, request.job, by_uid=caller.uid, is_admin=caller.is_admin))
    return {"state": QUEUED}
