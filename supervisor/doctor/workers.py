"""Checks of the worker slots as the arbiter knows them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from supervisor.doctor.check import Check, fail, ok, warn
from supervisor.wire.tree import Member


def worker_checks(members: Iterable[Member], attached: Collection[str]) -> list[Check]:
    """One check a pool: how many of its workers are there, and what the others do. `attached` are names."""
    pools: dict[str, list[Member]] = {}
    for member in members:
        pools.setdefault(member.pool, []).append(member)
    if not pools:
        return [fail("workers", "there are none: nothing runs", "give a pool replicas, or start with --workers 2")]
    return [_pool_check(pool, slots, attached) for pool, slots in pools.items()]


def _pool_check(pool: str, slots: list[Member], attached: Collection[str]) -> Check:
    name = f"workers.{pool}"
    here = sum(slot.worker in attached for slot in slots)
    away = [
        f"{slot.worker} is {slot.state}{f' ({slot.note})' if slot.note else ''}"
        for slot in slots
        if slot.worker not in attached
    ]
    found = "; ".join([f"{here} of {len(slots)} are at work or ready", *away])
    states = {slot.state for slot in slots if slot.worker not in attached}
    if "parked" in states:
        return fail(name, found, "the daemon's log says why they died; stop the daemon and start it again")
    if "backoff" in states:
        return warn(name, found, "they are started again by themselves; the daemon's log says why they died")
    return ok(name, found)
