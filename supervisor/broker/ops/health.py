"""health: whether the daemon is well, in one word, with reasons."""

from __future__ import annotations

from typing import Any

from supervisor.broker.service import Caller, Service
from supervisor.wire.control import Health


async def health(service: Service, _: Caller, __: Health) -> dict[str, Any]:
    """`healthy`, or `degraded` with a sentence for each reason."""
    reasons = [
        f"worker {member.worker} is {_words(member.state)}" + (f": {member.note}" if member.note else "")
        for member in service.fleet.members
        if member.state in ("backoff", "parked")
    ]
    reasons += [
        f"pool {pool} gets no isolation as strong as it demands: its jobs are refused"
        for pool in sorted({seat.attach.pool for seat in service.leases.seats().values() if not seat.attach.isolation})
    ]
    if service.committer.disk_is_full:
        reasons.append("the disk is full: submits are refused, and outcomes wait until there is room")
    if service.fleet.draining:
        reasons.append("the daemon is shutting down")
    if not service.fleet.members:
        reasons.append("there are no workers")
    return {"status": "degraded" if reasons else "healthy", "reasons": reasons}


def _words(state: str) -> str:
    return {"backoff": "waiting to be restarted", "parked": "parked after too many deaths"}[state]
