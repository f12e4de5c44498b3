"""workers: each worker slot, what it does now, and what it has done since the database began."""

from __future__ import annotations

import time
from typing import Any

from supervisor.broker.leases import Seat
from supervisor.broker.ops.status import state_of
from supervisor.broker.service import Caller, Service
from supervisor.store import Brief, Tally, briefs_of, rfc3339, tallies
from supervisor.wire.control import Workers
from supervisor.wire.tree import Member


async def workers(service: Service, caller: Caller, _: Workers) -> dict[str, Any]:
    """The slots there are, in their order; then those that there were, whose state is `gone`.

    Of a job of somebody else a member of the group sees the number alone, as in `status`.
    """
    seats = service.leases.seats()
    known = tallies(service.reader)
    members = service.fleet.members
    busy = [seat.job for seat in seats.values() if seat.job is not None]
    found = briefs_of(service.reader, busy) if busy else {}
    briefs = {job: brief for job, brief in found.items() if caller.is_admin or brief.owner_uid == caller.uid}
    here = [
        _worker(member, seats.get(member.worker), briefs, known.get(member.worker), last_beat_s(service, member))
        | _use(service, member, seats.get(member.worker), briefs)
        for member in members
    ]
    names = {member.worker for member in members}
    gone = [_gone(tally) for name, tally in sorted(known.items()) if name not in names]
    return {"workers": [*here, *gone]}


def last_beat_s(service: Service, member: Member) -> float | None:
    """Seconds since the worker's loop turned; None if it has not yet, or nobody is there."""
    if member.pid is None or member.index is None or service.board is None:
        return None
    beat_ns = service.board.slot(1 + member.index).beat_ns
    return None if beat_ns == 0 else round(max(0, time.monotonic_ns() - beat_ns) / 1e9, 3)


def _use(service: Service, member: Member, seat: Seat | None, briefs: dict[int, Brief]) -> dict[str, Any]:
    """What the job uses, as its keeper measured it in the last second or two; null before that."""
    nothing: dict[str, Any] = {"cpu_s": None, "memory_bytes": None}
    if seat is None or seat.lease is None or member.index is None or service.board is None or seat.job not in briefs:
        return nothing
    slot = service.board.slot(1 + member.index)
    cpu_s, memory_bytes = slot.used
    if slot.started != seat.lease or not memory_bytes:
        return nothing
    return {"cpu_s": round(cpu_s, 3), "memory_bytes": memory_bytes}


def _worker(
    member: Member, seat: Seat | None, briefs: dict[int, Brief], tally: Tally | None, beat_s: float | None
) -> dict[str, Any]:
    job = seat.job if seat is not None else None
    brief = briefs.get(job) if job is not None else None
    return {
        "name": member.worker,
        "pool": member.pool,
        "state": state_of(member, seat),
        "pid": member.pid,
        "job": job,
        "job_name": brief.name if brief is not None else None,
        "job_started_at": None if brief is None or brief.started_us is None else rfc3339(brief.started_us),
        "last_beat_s": beat_s,
        **_numbers(tally),
        "note": member.note,
    }


def _gone(tally: Tally) -> dict[str, Any]:
    nothing = dict.fromkeys(("pid", "job", "job_name", "job_started_at", "last_beat_s", "cpu_s", "memory_bytes"))
    return {"name": tally.name, "pool": tally.pool, "state": "gone", **nothing, **_numbers(tally), "note": ""}


def _numbers(tally: Tally | None) -> dict[str, Any]:
    if tally is None:
        return {"done": 0, "failed": 0, "busy_s": 0.0, "restarts": 0, "reasons": {}}
    return {
        "done": tally.done,
        "failed": tally.failed,
        "busy_s": round(tally.busy_s, 3),
        "restarts": tally.restarts,
        "reasons": tally.reasons,
    }
