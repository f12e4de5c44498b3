"""How many workers each pool has: slots come and go until they are as the settings say.

A slot's number is its place in its pool, 1 to the replicas; its index is its own among all pools while it is there
(scoreboard, job uid). Surplus workers end after their job. Level-triggered: `settle` may be called at any time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from loguru import logger

from supervisor.arbiter import slot_uids
from supervisor.arbiter.fleet import WorkerFleet
from supervisor.arbiter.handover import LeftFleet
from supervisor.arbiter.slot import WorkerSlot
from supervisor.config import Pool
from supervisor.config.keys import MAX_WORKERS
from supervisor.core.fleet import free_indices, missing_numbers
from supervisor.scoreboard import Slot


class Replicas:
    """`pools` say how many there are to be of each. `uid_base` is that of the jobs under a root daemon."""

    def __init__(
        self, fleet: WorkerFleet, pools: Mapping[str, Pool], scoreboard_of: Callable[[int], Slot], uid_base: int
    ) -> None:
        self._fleet = fleet
        self._pools = dict(pools)
        self._scoreboard_of = scoreboard_of
        self._uid_base = uid_base
        self._settling = False

    def inherit(self, left: LeftFleet) -> list[WorkerSlot]:
        """The slots that the program before this one had, as they were."""
        return [WorkerSlot.inherit(one, left.pools[one.pool], self._scoreboard_of(one.index)) for one in left.slots]

    def obstacle(self, pools: Mapping[str, Pool]) -> str | None:
        """Why these pools cannot be had, in a sentence; None if they can."""
        wanted = sum(pool.replicas for pool in pools.values())
        if wanted > MAX_WORKERS:
            return f"{wanted} workers in all pools together are more than {MAX_WORKERS}"
        return self._taken_uid(self._new_indices(pools))

    def change(self, pools: Mapping[str, Pool]) -> None:
        """From now on these are the pools."""
        self._pools = dict(pools)
        for slot in self._fleet.slots:
            slot.pool = self._pools.get(slot.pool.name, slot.pool)
        self.settle()

    def settle(self) -> None:
        """Adds what is missing, lets go what is too much."""
        if self._settling or self._fleet.draining:
            return
        self._settling = True
        try:
            self._let_go()
            for pool in self._pools.values():
                self._fill(pool)
        finally:
            self._settling = False

    def _let_go(self) -> None:
        for slot in list(self._fleet.slots):
            pool = self._pools.get(slot.pool.name)
            surplus = pool is None or slot.number > pool.replicas
            if surplus and not slot.surplus:
                slot.surplus = True
                self._fleet.leave(slot)
            slot.surplus = surplus

    def _fill(self, pool: Pool) -> None:
        missing = missing_numbers(self._numbers(pool.name), pool.replicas)
        # Those that are still finishing have theirs: what finds no index now gets one when they are gone.
        indices = free_indices(self._used(), MAX_WORKERS, len(missing))
        for number, index in zip(missing, indices, strict=False):
            if (sentence := self._taken_uid([index])) is not None:
                logger.error("worker {}/{} cannot be added: {}", pool.name, number, sentence)
                continue
            self._fleet.add(WorkerSlot(pool, number, index, self._scoreboard_of(index)))

    def _new_indices(self, pools: Mapping[str, Pool]) -> list[int]:
        missing = sum(len(missing_numbers(self._numbers(pool.name), pool.replicas)) for pool in pools.values())
        return free_indices(self._used(), MAX_WORKERS, missing)

    def _numbers(self, pool: str) -> set[int]:
        return {slot.number for slot in self._fleet.slots if slot.pool.name == pool}

    def _used(self) -> set[int]:
        return {slot.index for slot in self._fleet.slots}

    def _taken_uid(self, indices: list[int]) -> str | None:
        if os.geteuid() != 0 or self._fleet.is_new:
            return None
        return slot_uids.taken([self._uid_base + index for index in indices])
