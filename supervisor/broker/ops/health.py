"""health: whether the daemon is well, in one word, with reasons."""

from __future__ import annotations

from collections import Counter
from typing import Any

from supervisor import __version__
from supervisor.broker.commit import wall_us
from supervisor.broker.ops.status import state_of
from supervisor.broker.service import Caller, Service
from supervisor.store import oldest_queued_us
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
    if service.fleet.held:
        reasons.append("no more jobs are started (`workerctl drain`), until `workerctl drain --end`")
    reasons += service.fleet.notes
    if service.fleet.draining:
        reasons.append("the daemon is shutting down")
    if not service.fleet.members:
        reasons.append("there are no workers")
    gateway = service.fleet.gateway
    if gateway is not None and gateway.state == "backoff":
        reasons.append(f"the HTTP gateway is waiting to be restarted: {gateway.note}")
    since_us = oldest_queued_us(service.reader)
    return {
        "status": "degraded" if reasons else "healthy",
        "reasons": reasons,
        "state": "stopping" if service.fleet.draining else "draining" if service.fleet.held else "running",
        "version": service.fleet.version or __version__,
        "uptime_s": round(service.uptime_s, 3),
        "pools": _pools(service),
        "oldest_queued_s": None if since_us is None else round(max(0, wall_us() - since_us) / 1e6, 3),
    }


def _pools(service: Service) -> list[dict[str, Any]]:
    """How many workers of each pool are in which state."""
    seats = service.leases.seats()
    pools: dict[str, Counter[str]] = {}
    for member in service.fleet.members:
        pools.setdefault(member.pool, Counter())[state_of(member, seats.get(member.worker))] += 1
    return [{"pool": pool, "workers": dict(states)} for pool, states in pools.items()]


def _words(state: str) -> str:
    return {"backoff": "waiting to be restarted", "parked": "parked after too many deaths"}[state]
