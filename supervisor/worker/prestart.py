"""Keeps one spare interpreter ready while this worker is idle, and hands it to a job that it suits.

Invariant: a spare never lives beside a job: it is taken or killed before one starts, and made when none runs. Only an
interpreter that was compared with an ordinary start, at this level, is pre-started. Without a spare to be made or
recycled there is no timer.
Never: makes a job wait: whatever is wrong with a spare, its job starts in the ordinary way.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import time
from typing import Final

from loguru import logger

from supervisor.config import Pool
from supervisor.runtime import gate
from supervisor.runtime.plan import Plan
from supervisor.sandbox import SandboxError
from supervisor.wire.lease import Lease, Standby
from supervisor.worker.comparison import Comparison
from supervisor.worker.equipment import Equipment
from supervisor.worker.spare import Spare, SpareClass

FIRST_AFTER_S: Final = 0.3
"""A worker has just started: the machine has other things to do."""
RECYCLED_AFTER_S: Final = 600.0
MOST_DEATHS: Final = 3
AFTER_DEATH_S: Final = 2.0
LOOK_AGAIN_S: Final = 1.0
MOST_UNDECIDED: Final = 3
UNDECIDED_S: Final = 20.0
"""A machine that is too busy for the comparison gets so many more chances, after so long each."""
ON: Final = "on"
UNKNOWN: Final = "not compared with an ordinary start yet"


class Prestart:
    """The spare of one worker. `spare` is None while there is none; `states` says of each interpreter `on` or why not."""

    def __init__(self, equipment: Equipment, selector: selectors.BaseSelector, pool: Pool, now: float) -> None:
        self._equipment = equipment
        self._selector = selector
        self.spare: Spare | None = None
        self.states: dict[str, str] = {}
        self._due: float | None = now + FIRST_AFTER_S
        self._deaths = self._undecided = 0
        self._comparison: tuple[str, Comparison] | None = None
        self._lock_fd: int | None = None
        self._wanted: SpareClass | None = None
        for job_type in gate.KINDS:
            if job_type in pool.types and job_type not in equipment.missing and equipment.level:
                self.states[job_type] = UNKNOWN if equipment.prestarts else f"off: pools.{pool.name}.prestart is 0"
        if self.states:
            self._wanted = SpareClass(
                next(iter(self.states)),
                equipment.level,
                equipment.slot_class_for(pool.network == "always", pool.limits),
                pool.limits.memory_bytes,
            )

    @property
    def spare_type(self) -> str | None:
        """The interpreter that waits, if one does."""
        return self.spare.kind.type if self.spare is not None and self.spare.ready else None

    def standby(self) -> Standby | None:
        """What `status` shows of it; None while that is about to change."""
        if self.spare is not None and not self.spare.ready:
            return None
        return Standby(id=0, spare=self.spare_type, prestart=dict(self.states))

    def next_time(self) -> float | None:
        """When `on_idle` is wanted, in monotonic seconds."""
        if self.spare is not None:
            return self.spare.born_at + RECYCLED_AFTER_S
        return self._due if self._wanted is not None else None

    def on_idle(self, now: float) -> None:
        """No job runs: replaces an old spare, makes a missing one, compares, as it is due."""
        if self.spare is not None:
            if now < self.spare.born_at + RECYCLED_AFTER_S:
                return
            self._drop()
            self._due = now
        if self._wanted is None or self._due is None or now < self._due:
            return
        self._due = None
        state = self.states[self._wanted.type]
        if state == ON:
            self._make(self._wanted, now)
        elif state == UNKNOWN:
            self._compare(self._wanted, now)

    def on_slot(self, now: float) -> None:
        """Something came from the spare's keeper."""
        if self.spare is None:
            return
        self.spare.on_slot()
        if self.spare.dead is not None:
            logger.warning("a pre-started {} ended before it had a job: {}", self.spare.kind.type, self.spare.dead)
            self._bury(self.spare.kind.type, now)

    def take(self, lease: Lease, level: str) -> tuple[Spare, Plan] | None:
        """The spare, if this job may have it. Otherwise there is none afterwards, for the job shall be alone."""
        self._give_turn()
        spare, self.spare = self.spare, None
        self._due = None
        if spare is None:
            return None
        self._selector.unregister(spare.slot)
        plan = spare.plan_for(lease) if spare.kind == self._class_of(lease, level) else None
        if plan is not None:
            return spare, plan
        spare.close()
        return None

    def learn(self, lease: Lease, level: str, *, begun: bool) -> None:
        """An attempt is over; the next job will be like this one, as far as anybody knows. `begun`: its spare was good."""
        now = time.monotonic()
        if not begun:
            self._bury(lease.type, now)
            return
        self._due = now
        state = self.states.get(lease.type, "off")
        if not state.startswith("off") and level == self._equipment.level and gate.suits(lease.spec):
            self._wanted = self._class_of(lease, level)

    def drop(self, level: str | None = None) -> None:
        """Ends the spare, if it is of this level, and whatever else is under way."""
        self._give_turn()
        if self.spare is not None and level in (None, self.spare.kind.level):
            self._drop()

    def _class_of(self, lease: Lease, level: str) -> SpareClass:
        return SpareClass(lease.type, level, self._equipment.slot_class(lease), lease.spec.limits.memory_bytes)

    def _make(self, wanted: SpareClass, now: float) -> None:
        try:
            slot = self._equipment.holder(wanted.level).prepare(wanted.slot_class)
            try:
                self.spare = Spare(wanted, slot, self._equipment, now)
            except OSError:
                slot.close()
                raise
        except (SandboxError, OSError) as error:
            logger.warning("no sandbox for a pre-started {}: {}", wanted.type, error)
            self._bury(wanted.type, now)
            return
        self._selector.register(slot, selectors.EVENT_READ, "spare")

    def _bury(self, job_type: str, now: float) -> None:
        why = self.spare.dead if self.spare is not None else None
        self._drop()
        self._deaths += 1
        self._due = now + AFTER_DEATH_S * self._deaths
        if self._deaths >= MOST_DEATHS:
            self._deaths = 0
            self.states[job_type] = f"off: {MOST_DEATHS} in a row ended before they had a job" + (
                f" ({why})" if why else ""
            )
            logger.warning("{} is not pre-started any more: {}", job_type, self.states[job_type])

    def _drop(self) -> None:
        spare, self.spare = self.spare, None
        if spare is not None:
            self._selector.unregister(spare.slot)
            spare.close()

    def _compare(self, wanted: SpareClass, now: float) -> None:
        """One script further; the others of this daemon wait for who has begun."""
        proofs, interpreter = self._equipment.proofs, self._equipment.interpreter(wanted.type)
        assert interpreter is not None
        self._due = now
        if proofs.knows(_aspect(wanted.level), interpreter):
            self._give_turn()
            self.states[wanted.type] = ON
            return
        if not self._has_turn():
            self._due = now + LOOK_AGAIN_S
            return
        if self._comparison is None or self._comparison[0] != wanted.type:
            self._comparison = (wanted.type, Comparison(self._equipment, wanted.type, wanted.level))
        comparison = self._comparison[1]
        self._equipment.expect_disk()  # it may take longer than a loop's turn may
        comparison.step()
        if comparison.verdict is None:
            return
        if comparison.undecided and self._undecided < MOST_UNDECIDED:
            self._undecided += 1
            self._due = now + UNDECIDED_S
            self._comparison = None
            self._give_turn()
            return
        if comparison.verdict == "":
            proofs.learn(_aspect(wanted.level), interpreter)
            self.states[wanted.type] = ON
        else:
            self.states[wanted.type] = f"off: {comparison.verdict}"
            logger.warning("{} is not pre-started: {}", interpreter.path, comparison.verdict)
        self._comparison = None
        self._give_turn()

    def _has_turn(self) -> bool:
        if self._lock_fd is None:
            place = f"{self._equipment.paths.cache}/comparison"
            try:
                fd = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                logger.debug("{} cannot be opened: {}", place, error.strerror)
                return False
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                return False
            self._lock_fd = fd
        return True

    def _give_turn(self) -> None:
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None


def _aspect(level: str) -> str:
    return f"{level}:prestart:{gate.fingerprint()}"
