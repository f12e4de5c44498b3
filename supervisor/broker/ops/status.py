"""status: the daemon at a glance. Reads counters, never counts; waits for nobody."""

from __future__ import annotations

import os
from typing import Any

from supervisor import __version__
from supervisor.broker.leases import Seat
from supervisor.broker.queue_gate import views as queue_views
from supervisor.broker.service import Caller, Service
from supervisor.store import counts, last_event_id, pauses, queue_counts, tallies
from supervisor.wire.control import Status
from supervisor.wire.tree import Member


async def status(service: Service, _: Caller, __: Status) -> dict[str, Any]:
    """Version, state, counts by state, workers, isolation."""
    seats = service.leases.seats()
    done = {name: tally.done for name, tally in tallies(service.reader).items()}
    return {
        "version": service.fleet.version or __version__,
        "pid": os.getppid(),
        "uptime_s": round(service.uptime_s, 3),
        "state": "stopping" if service.fleet.draining else "draining" if service.fleet.held else "running",
        "jobs": counts(service.reader),
        "paused": sorted(pauses(service.reader)),
        "queues": queue_views(queue_counts(service.reader), pauses(service.reader), service.settings.queues),
        "workers": [_worker(member, seats.get(member.worker), done) for member in service.fleet.members],
        "isolation": _isolation(service.leases.sandboxed()),
        "cursor": last_event_id(service.reader),
        "socket": service.paths.socket,
        "http": service.fleet.gateway,
        "state_dir": service.paths.state_dir,
        "synchronous": service.settings.synchronous,
        "upgrades": service.fleet.upgrades,
        "upgrade": service.fleet.upgrading,
    }


def state_of(member: Member, seat: Seat | None) -> str:
    """What a worker slot does now: the arbiter knows whether its process is there, the broker what it has."""
    if seat is not None and member.state == "starting":
        return "busy" if seat.job is not None else "idle"
    return member.state


def _worker(member: Member, seat: Seat | None, done: dict[str, int]) -> dict[str, Any]:
    return {
        "name": member.worker,
        "pid": member.pid,
        "pool": member.pool,
        "state": state_of(member, seat),
        "job": seat.job if seat is not None else None,
        "spare": _spare(seat),
        "done": done.get(member.worker, 0),
        "restarts": member.restarts,
        "note": member.note,
        "renewal": member.renewal or None,
        "last_exit": member.last_exit or None,
        "version": (seat.attach.version or None) if seat is not None else None,
    }


def _isolation(seats: dict[str, Seat]) -> dict[str, Any]:
    """The level of the first worker of scripts; all workers of a pool find the same."""
    for name in sorted(seats):
        attach, standby = seats[name].attach, seats[name].standby
        return {
            "level": attach.isolation,
            "not_available": attach.isolation_notes,
            "remedies": attach.isolation_remedies,
            "enforced": attach.enforced,
            "interpreters": attach.interpreters,
            "missing": attach.missing,
            "prestart": standby.prestart if standby is not None else {},
        }
    nothing: dict[str, Any] = {}
    return {
        "level": None,
        "not_available": nothing,
        "remedies": nothing,
        "enforced": nothing,
        "interpreters": nothing,
        "missing": nothing,
        "prestart": nothing,
    }


def _spare(seat: Seat | None) -> str | None:
    return seat.standby.spare if seat is not None and seat.standby is not None else None
