"""cancel: a queued job never starts, a running one is ended."""

from __future__ import annotations

from typing import Any

from supervisor.broker.service import Caller, Service
from supervisor.store import cancel as cancel_job
from supervisor.wire.control import Cancel


async def cancel(service: Service, caller: Caller, request: Cancel) -> dict[str, Any]:
    """Where the job is now; answered when the cancel is durable."""
    service.check_job(caller, request.job)
    done = await service.committer.run(
        lambda tx: cancel_job(tx, request.job, by_uid=caller.uid, reason=request.reason), essential=True
    )
    if done.lease is not None and done.incarnation is not None:
        service.leases.order_cancel(done.incarnation, done.lease)
    return {"state": done.state}
