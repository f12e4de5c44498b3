"""The worker slots: who runs in each, when its next worker starts, and what the broker must know about its dead.

A slot's next worker starts only when the last one's tree is verified gone. What is reported is remembered until the
broker has made it durable.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from loguru import logger

from supervisor.arbiter.aftermath import Aftermath
from supervisor.arbiter.loop import Loop, Timer
from supervisor.arbiter.reap import Child, Exit, reap
from supervisor.config import Pool
from supervisor.core.fleet import Deaths, after_worker_death
from supervisor.scoreboard import Slot
from supervisor.wire.tree import Exited, Fleet, Member, SlotState

FORK_AGAIN_S: Final = 1.0
"""Until the next try when the kernel refuses a fork."""
_SHORTEST_LIFE_S: Final = 0.1
"""Workers that exit 0 are replaced at once, but a slot starts no more than one in this time."""


class WorkerSlot:
    """One place for a worker. `incarnation` is that of the living one, None while there is none."""

    def __init__(self, pool: Pool, number: int, index: int, scoreboard: Slot) -> None:
        self.pool = pool
        self.name = f"{pool.name}/{number}"
        self.index = index
        self.scoreboard = scoreboard
        self.incarnation: str | None = None
        self.child: Child | None = None
        self.state: SlotState = "backoff"
        self.note = ""
        self.starts = 0
        self.started_at_s = 0.0
        self.deaths = Deaths()
        self.timer: Timer | None = None
        self.was_killed = False

    def member(self) -> Member:
        """The slot as the broker sees it."""
        return Member(
            worker=self.name,
            pool=self.pool.name,
            state=self.state,
            incarnation=self.incarnation,
            pid=None if self.child is None else self.child.pid,
            restarts=max(0, self.starts - 1),
            note=self.note,
        )


def slots_of(pools: Iterable[Pool], scoreboard_of: Callable[[int], Slot]) -> list[WorkerSlot]:
    """One slot a replica, numbered through all pools."""
    slots: list[WorkerSlot] = []
    for pool in pools:
        for number in range(1, pool.replicas + 1):
            slots.append(WorkerSlot(pool, number, len(slots), scoreboard_of(len(slots))))
    return slots


class WorkerFleet:
    """All worker slots. `fork` starts a worker; `changed` and `exited` pass on what the broker must hear."""

    def __init__(
        self,
        loop: Loop,
        supervisor: str,
        slots: list[WorkerSlot],
        fork: Callable[[WorkerSlot], Child],
        changed: Callable[[], None],
        exited: Callable[[Exited], None],
    ) -> None:
        self.slots = slots
        self.unacked: dict[str, Exited] = {}
        self.draining = False
        self._loop = loop
        self._supervisor = supervisor
        self._fork = fork
        self._changed = changed
        self._exited = exited
        self._born = 0
        self._unverified: set[str] = set()
        self._aftermath: Aftermath | None = None

    def start(self, aftermath: Aftermath) -> None:
        """Starts a worker in every slot."""
        self._aftermath = aftermath
        for slot in self.slots:
            self._start(slot)

    def message(self) -> Fleet:
        """What a broker is told first, and again at each change."""
        return Fleet(
            supervisor=self._supervisor,
            members=tuple(slot.member() for slot in self.slots),
            exiting=(*self.unacked, *sorted(self._unverified)),
            draining=self.draining,
        )

    def acked(self, incarnation: str) -> None:
        """The broker has made this exit durable."""
        if self.unacked.pop(incarnation, None) is not None:
            self._changed()

    def pids(self) -> set[int]:
        """Of the workers that were not yet reaped."""
        return {slot.child.pid for slot in self.slots if slot.child is not None}

    @property
    def is_gone(self) -> bool:
        """No worker is alive, and every dead one's tree has been looked for."""
        return not self.pids() and not self._unverified

    def stop_replacing(self) -> None:
        """From now on a dead worker's slot stays empty."""
        self.draining = True
        for slot in self.slots:
            if slot.timer is not None:
                slot.timer.cancel()
        self._changed()

    def send(self, number: signal.Signals) -> None:
        """Signals every living worker."""
        for slot in self.slots:
            if slot.child is not None:
                slot.was_killed = number == signal.SIGKILL
                slot.child.send(number)

    def _start(self, slot: WorkerSlot) -> None:
        slot.timer = None
        self._born += 1
        slot.incarnation = f"{self._supervisor}-{self._born}"
        slot.started_at_s = self._loop.now_s()
        slot.scoreboard.reset()
        slot.was_killed = False
        try:
            slot.child = self._fork(slot)
        except OSError as error:
            # The machine's want, no death of this worker's: it parks nobody.
            slot.incarnation, slot.state, slot.note = None, "backoff", f"cannot be forked: {error.strerror}"
            logger.error("worker {} {}", slot.name, slot.note)
            self._start_later(slot, FORK_AGAIN_S)
        else:
            slot.starts += 1
            slot.state, slot.note = "starting", ""
            self._loop.watch(slot.child.pidfd, partial(self._look_at, slot, slot.child))
        self._changed()

    def _look_at(self, slot: WorkerSlot, child: Child) -> None:
        ended = reap(child)
        if ended is None or slot.incarnation is None or self._aftermath is None:
            return
        self._loop.unwatch(child.pidfd)
        child.close()
        words = slot.scoreboard.last_words
        exited = Exited(
            incarnation=slot.incarnation,
            worker=slot.name,
            cause="was killed at the shutdown" if slot.was_killed else ended.cause + (f": {words}" if words else ""),
            started=slot.scoreboard.started,
            tree_gone=False,
        )
        slot.child = slot.incarnation = None
        slot.state, slot.note = "backoff", exited.cause
        self._unverified.add(exited.incarnation)
        lived_s = self._loop.now_s() - slot.started_at_s
        self._aftermath.verify(partial(self._settled, slot, exited, ended, lived_s))
        self._changed()

    def _settled(self, slot: WorkerSlot, exited: Exited, ended: Exit, lived_s: float, tree_gone: bool) -> None:
        exited.tree_gone = tree_gone
        self._unverified.discard(exited.incarnation)
        self.unacked[exited.incarnation] = exited
        self._exited(exited)
        if self.draining:
            logger.info("worker {} {}", slot.name, exited.cause)
        elif not tree_gone:
            self._park(slot, f"{exited.cause}; a process that it left cannot be killed")
        elif ended.code == 0:
            logger.info("worker {} {}", slot.name, exited.cause)
            self._start_later(slot, max(0.0, _SHORTEST_LIFE_S - lived_s))
        else:
            self._come_back(slot, exited.cause, lived_s)
        self._changed()

    def _come_back(self, slot: WorkerSlot, cause: str, lived_s: float) -> None:
        restart = after_worker_death(slot.deaths, lived_s, self._loop.now_s())
        slot.deaths = restart.deaths
        if restart.delay_s is None:
            self._park(slot, f"{len(restart.deaths.recent)} deaths within a minute, the last: {cause}")
            return
        slot.state, slot.note = "backoff", cause
        logger.warning("worker {} {}; the next starts in {:g} s", slot.name, cause, restart.delay_s)
        self._start_later(slot, restart.delay_s)

    def _start_later(self, slot: WorkerSlot, delay_s: float) -> None:
        if not self.draining:
            slot.timer = self._loop.later(delay_s, partial(self._start, slot))

    def _park(self, slot: WorkerSlot, note: str) -> None:
        slot.state, slot.note = "parked", note
        logger.error("worker {} is parked: {}", slot.name, note)
