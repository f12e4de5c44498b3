"""status: the daemon at a glance. Reads counters, never counts; waits for nobody."""

from __future__ import annotations

import os
from typing import Any

from supervisor import __version__
from supervisor.broker.leases import Seat
from supervisor.broker.service import Caller, Service
from supervisor.store import counts
from supervisor.wire.control import Status
from supervisor.wire.tree import Member


async def status(service: Service, _: Caller, __: Status) -> dict[str, Any]:
    """Version, state, counts by state, workers, isolation."""
    seats = service.leases.seats()
    return {
        "version": __version__,
        "pid": os.getppid(),
        "uptime_s": round(service.uptime_s, 3),
        "state": "stopping" if service.fleet.draining else "running",
        "jobs": counts(service.reader),
        "workers": [_worker(member, seats.get(member.worker)) for member in service.fleet.members],
        "isolation": _isolation(seats),
        "socket": service.paths.socket,
        "state_dir": service.paths.state_dir,
    }


def _worker(member: Member, seat: Seat | None) -> dict[str, Any]:
    state: str = member.state
    if seat is not None and member.state == "starting":
        state = "busy" if seat.job is not None else "idle"
    return {
        "name": member.worker,
        "pid": member.pid,
        "pool": member.pool,
        "state": state,
        "job": seat.job if seat is not None else None,
        "restarts": member.restarts,
        "note": member.note,
    }


def _isolation(seats: dict[str, Seat]) -> dict[str, Any]:
    """The level of the first worker; all workers of a pool find the same."""
    for name in sorted(seats):
        attach = seats[name].attach
        return {
            "level": attach.isolation,
            "not_available": attach.isolation_notes,
            "remedies": attach.isolation_remedies,
            "enforced": attach.enforced,
            "interpreters": attach.interpreters,
            "missing": attach.missing,
        }
    return {"level": None, "not_available": {}, "remedies": {}, "enforced": {}, "interpreters": {}, "missing": {}}
