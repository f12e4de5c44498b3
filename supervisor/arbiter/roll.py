"""Replacing workers that are well: one at a time in each pool, each after its job, the next when its successor is there.

A successor that cannot start holds its pool's roll up, so that a mistake costs one worker and not all of them; a slot
that is set aside for what cannot be killed holds up nobody. In an upgrade a long job does not: who has not left after a moment leaves in its own time, and the next one's turn comes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from supervisor.arbiter.fleet import WorkerFleet
from supervisor.arbiter.loop import Loop
from supervisor.arbiter.slot import WorkerSlot

UPGRADE: Final = "upgrade"
"""Why a worker is replaced that is of older code than the arbiter."""
BUSY_AFTER_S: Final = 1.0
"""A worker that was told to leave and is still there has a job."""


class Roll:
    """Who is to be replaced is kept at the slots (`renewal`); this only says who is next."""

    def __init__(self, loop: Loop, fleet: WorkerFleet) -> None:
        self._loop = loop
        self._fleet = fleet
        self._busy: set[str] = set()
        self._going_on = False

    def renew(self, slots: Iterable[WorkerSlot], why: str) -> list[str]:
        """Has the workers of these slots replaced, and releases those that are parked; returns the slots' names."""
        chosen = [slot for slot in slots if not slot.surplus and not slot.stuck]
        for slot in chosen:
            slot.renewal = why
            slot.renewing = slot.leaving or slot.child is None
            if slot.child is None:
                self._fleet.release(slot)
            elif slot.renewing and why == UPGRADE and slot.incarnation is not None:
                self._pass_over_later(slot.incarnation)
        self.go_on()
        return [slot.name for slot in chosen]

    def go_on(self) -> None:
        """Takes the next of each pool whose last one is done; to be called at each change of the fleet."""
        if self._going_on or self._fleet.draining:
            return
        self._going_on = True
        try:
            for pool in sorted({slot.pool.name for slot in self._fleet.slots if slot.renewal}):
                self._next_of([slot for slot in self._fleet.slots if slot.pool.name == pool and not slot.surplus])
        finally:
            self._going_on = False

    def _next_of(self, slots: list[WorkerSlot]) -> None:
        if any(slot.renewing and not slot.stuck and slot.incarnation not in self._busy for slot in slots):
            return
        for slot in slots:
            if slot.renewal and not slot.renewing and slot.child is not None:
                slot.renewing = True
                self._fleet.leave(slot)
                if slot.renewal == UPGRADE and slot.incarnation is not None:
                    self._pass_over_later(slot.incarnation)
                return

    def _pass_over_later(self, incarnation: str) -> None:
        def pass_over() -> None:
            self._busy &= {slot.incarnation for slot in self._fleet.slots if slot.incarnation is not None}
            self._busy.add(incarnation)
            self.go_on()

        self._loop.later(BUSY_AFTER_S, pass_over)
