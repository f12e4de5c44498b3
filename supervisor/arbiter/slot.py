"""One place for a worker: what is known of it, as plain values. Nothing is decided or done here."""

from __future__ import annotations

import signal
from typing import Final

from supervisor.arbiter.handover import LeftChild, LeftSlot
from supervisor.arbiter.loop import Timer
from supervisor.arbiter.reap import Child, Exit
from supervisor.child import EXIT_RECYCLED
from supervisor.config import Pool
from supervisor.config.keys import MAX_WORKERS
from supervisor.core.fleet import Deaths
from supervisor.scoreboard import Slot
from supervisor.wire.tree import Exited, ExitHow, Member, SlotState

BROKER_PLACE: Final = 0
READER_PLACE: Final = 1 + MAX_WORKERS
GATEWAY_PLACE: Final = 2 + MAX_WORKERS
SCOREBOARD_PLACES: Final = 3 + MAX_WORKERS
"""Fixed, so that slots can come while the daemon runs: memory that nobody touches costs nothing."""


def worker_place(index: int) -> int:
    """Where on the scoreboard the worker slot `index` is."""
    return 1 + index


class WorkerSlot:
    """`index` is the slot's own among all pools, for as long as it is there; `number` counts within its pool.

    `incarnation` is that of the living worker, None while there is none; `exiting` the end of the dead one (that
    lived for `lived_s`) while its tree is being looked for; `start_at_s` when the next one is due, by `timer`.
    `leaving`: it was told to end after its job. `verdict`: why we ended it by force. `surplus`: the slot goes when its
    worker is gone. `renewal`: why its worker is to be replaced, until the next one is attached; `renewing`: that is
    under way. `stuck`: something in it cannot be killed, so that its index can never be given to another.
    """

    def __init__(self, pool: Pool, number: int, index: int, scoreboard: Slot) -> None:
        self.pool = pool
        self.number = number
        self.index = index
        self.scoreboard = scoreboard
        self.incarnation: str | None = None
        self.exiting: Exited | None = None
        self.child: Child | None = None
        self.state: SlotState = "backoff"
        self.note = ""
        self.last_exit = ""
        self.starts = 0
        self.started_at_s = 0.0
        self.lived_s = 0.0
        self.start_at_s: float | None = None
        self.deaths = Deaths()
        self.leaving = False
        self.surplus = False
        self.stuck = False
        self.verdict = ""
        self.renewal = ""
        self.renewing = False
        self.timer: Timer | None = None

    @property
    def name(self) -> str:
        """`scripts/1`."""
        return f"{self.pool.name}/{self.number}"

    def leave(self) -> LeftSlot:
        """What a successor of this program must know."""
        child = self.child
        return LeftSlot(
            pool=self.pool.name,
            number=self.number,
            index=self.index,
            incarnation=self.incarnation,
            exiting=self.exiting,
            child=None if child is None else LeftChild(child.pid, child.pidfd),
            state=self.state,
            note=self.note,
            last_exit=self.last_exit,
            starts=self.starts,
            started_at_s=self.started_at_s,
            lived_s=self.lived_s,
            start_at_s=self.start_at_s,
            deaths=self.deaths,
            leaving=self.leaving,
            surplus=self.surplus,
            stuck=self.stuck,
            verdict=self.verdict,
            renewal=self.renewal,
            renewing=self.renewing,
        )

    @classmethod
    def inherit(cls, left: LeftSlot, pool: Pool, scoreboard: Slot) -> WorkerSlot:
        """The slot that another program left. Its timer does not run yet."""
        slot = cls(pool, left.number, left.index, scoreboard)
        slot.incarnation = left.incarnation
        slot.exiting = left.exiting
        slot.child = None if left.child is None else Child(left.child.pid, left.child.pidfd)
        slot.state, slot.note, slot.last_exit = left.state, left.note, left.last_exit
        slot.starts, slot.started_at_s, slot.lived_s = left.starts, left.started_at_s, left.lived_s
        slot.start_at_s, slot.deaths = left.start_at_s, left.deaths
        slot.leaving, slot.surplus, slot.stuck = left.leaving, left.surplus, left.stuck
        slot.verdict, slot.renewal, slot.renewing = left.verdict, left.renewal, left.renewing
        return slot

    def member(self) -> Member:
        """The slot as the broker sees it."""
        return Member(
            worker=self.name,
            index=self.index,
            pool=self.pool.name,
            state=self.state,
            incarnation=self.incarnation,
            pid=None if self.child is None else self.child.pid,
            restarts=max(0, self.starts - 1),
            note=self.note,
            renewal=self.renewal,
            last_exit=self.last_exit,
        )


def how_it_ended(slot: WorkerSlot, ended: Exit) -> ExitHow:
    """Whether by its own will, ours, or neither."""
    if slot.verdict:
        return "killed"
    if ended.code == EXIT_RECYCLED:
        return "recycled"
    # Told to leave before it could listen, it ends by that very signal.
    told = slot.leaving and ended.signal == signal.SIGTERM
    return "left" if ended.code == 0 or told else "died"
