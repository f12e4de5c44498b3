"""What every worker does, whatever its jobs are: hears the broker, the clock, its holders and SIGTERM, and leaves in order.

Everything is an event. Cancel and shutdown are heard in every state, also while draining. Whatever ends the broker, the
job runs on. How a job is begun and watched is decided by the kinds of workers, `scripts` and `handlers`.
"""

from __future__ import annotations

import selectors
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from loguru import logger

from supervisor import __version__
from supervisor.child import WorkerContext
from supervisor.core.fleet import BEATS_A_PERIOD
from supervisor.core.outcome import Outcome
from supervisor.sandbox import Holder
from supervisor.wire.lease import NULL, Attach, Lease, Release, Settle
from supervisor.worker.attempt import Attempt
from supervisor.worker.conversation import Conversation
from supervisor.worker.equipment import Equipment
from supervisor.worker.finished import Finished
from supervisor.worker.link import Link
from supervisor.worker.signals import Terminations

MAX_UNSTARTED: Final = 5
SHORTEST_REST_S: Final = 1.0
LONGEST_REST_S: Final = 10.0
"""How long a worker waits while the machine is short of something that a job's start needs."""


class Worker(ABC):
    """One worker: its job in `_execution` while it runs, in the conversation until its end is acknowledged."""

    def __init__(self, context: WorkerContext, equipment: Equipment) -> None:
        self._context = context
        self._equipment = equipment
        self._beat_s = context.settings.hang_timeout_s / BEATS_A_PERIOD
        self._selector = selectors.DefaultSelector()
        self._broker = Conversation(Link(context.paths.socket, self._selector), self)
        self._execution: Attempt | None = None
        self._terms = Terminations()
        self._watched: list[Holder] = []
        self._unstarted = 0
        self._rest_until: float | None = None
        self._rest_s = SHORTEST_REST_S
        self.worn: str | None = None
        self.stuck_job: int | None = None

    def work(self) -> None:
        """Until it has drained."""
        self._selector.register(self._terms, selectors.EVENT_READ, "wake")
        self._watch_holders()
        while not self._drained():
            self._on_time(time.monotonic())
            for key, _ in self._selector.select(self._patience(time.monotonic())):
                now = time.monotonic()
                self._dispatch(key.data, now)
                self._after(now)
            self._context.scoreboard.beat()
        self._broker.close()

    @property
    def is_broken(self) -> bool:
        """Whether it gets leases and cannot start them."""
        return self._unstarted >= MAX_UNSTARTED

    @property
    def has_no_handler(self) -> str | None:
        """Why its handler cannot be had; None if it has none to have, or can."""
        return None

    # What the kinds of workers have of their own

    @abstractmethod
    def _types(self) -> tuple[str, ...]:
        """The types that it says it takes."""

    @abstractmethod
    def wants_leases(self) -> int:
        """How many it takes now that it has none; 0 while it is not free."""

    @abstractmethod
    def take(self, leases: Sequence[Lease], now: float) -> None:
        """Leases came."""

    @abstractmethod
    def cancel(self, lease: int, now: float) -> None:
        """The job of a lease was cancelled."""

    @abstractmethod
    def _on_event(self, source: str, now: float) -> None:
        """Something else happened than what is dispatched here."""

    @abstractmethod
    def _on_clock(self, now: float) -> None:
        """Does what is due at `now`."""

    @abstractmethod
    def _next_times(self, now: float) -> tuple[float | None, ...]:
        """When the clock is wanted."""

    @abstractmethod
    def _on_finished(self, finished: Finished, now: float) -> None:
        """Its job is over."""

    def _at_rest(self, now: float) -> None:  # noqa: B027  most have nothing to do then
        """It has no job."""

    def _holds(self) -> tuple[int, ...]:
        """The leases that it has."""
        return (self._execution.lease.lease,) if self._execution is not None else ()

    # What the conversation asks

    def introduce(self) -> Attach:
        """Who this worker is, what it runs, and what it has for jobs."""
        equipment = self._equipment
        return Attach(
            id=0,
            incarnation=self._context.incarnation,
            worker=self._context.name,
            pool=self._context.pool.name,
            holding=self._holds(),
            isolation=equipment.level,
            isolation_notes=equipment.notes,
            isolation_remedies=equipment.remedies,
            enforced=equipment.enforced_at(equipment.level),
            interpreters=equipment.versions,
            missing=equipment.missing,
            types=self._types(),
            version=__version__,
        )

    # Events

    def _leaving(self) -> bool:
        return (
            self._terms.count > 0
            or self.stuck_job is not None
            or self.is_broken
            or self.worn is not None
            or self.has_no_handler is not None
        )

    def _drained(self) -> bool:
        return self._leaving() and not self._holds() and not self._broker.settling

    def _dispatch(self, source: str, now: float) -> None:
        match source:
            case "wake":
                if self._terms.receive() >= 2 and self._execution is not None:
                    self._execution.interrupt(now)
            case "link":
                self._broker.on_link(now)
            case "holder":
                self._on_holder(now)
            case _:
                self._on_event(source, now)

    def _on_time(self, now: float) -> None:
        if self._rest_until is not None and now >= self._rest_until:
            self._rest_until = None
            self._broker.go_on()
        self._on_clock(now)
        self._after(now)

    def _patience(self, now: float) -> float:
        due = [at for at in (self._rest_until, *self._next_times(now)) if at is not None]
        # Never longer than to the next sign of life.
        return min(self._beat_s, max(0.0, min(due) - now)) if due else self._beat_s

    def _after(self, now: float) -> None:
        execution = self._execution
        if execution is None:
            self._at_rest(now)
            return
        if execution.silent:
            self._end_silent_keeper(execution, now)
        if execution.finished is not None:
            self._on_finished(execution.finished, now)
            return
        if (use := execution.use) is not None:
            self._context.scoreboard.use(use.cpu_s, use.memory_bytes)
        if self._broker.hears and (progress := execution.new_progress(now)) is not None:
            self._broker.report(execution.lease.lease, progress)

    # How it ended

    def _mark_started(self, lease: int) -> None:
        self._context.scoreboard.start(lease)

    def _settle(self, lease: Lease, level: str, finished: Finished, *, more: int, waited_s: float = 0.0) -> None:
        """Tells the end, and asks for so many more leases."""
        outcome = finished.outcome
        if outcome is None:
            self._give_back(lease, finished)
            return
        if outcome.reason == "stuck":
            self.stuck_job = lease.job
            more = 0
        self._broker.settle(
            Settle(
                id=0,
                lease=lease.lease,
                outcome=outcome,
                isolation=level,
                result=NULL if finished.result is None else finished.result,
                progress=finished.progress,
                next=more > 0,
                most=max(1, more),
                waited_s=waited_s,
            )
        )

    def _started_one(self) -> None:
        """A job was really run: what kept others from being started is over."""
        self._unstarted = 0
        self._rest_s = SHORTEST_REST_S

    def _give_back(self, lease: Lease, finished: Finished) -> None:
        self._unstarted += finished.lost
        if finished.starved is not None:
            self._rest(finished.starved)
        self._broker.settle(Release(id=0, lease=lease.lease, declined=finished.declined))

    def _rest(self, want: str) -> None:
        """No failure of a job, and none of this worker: the same job would fail, and the next one too."""
        logger.warning("a job cannot be started, the machine is short of {}: waiting {:g} s", want, self._rest_s)
        self._rest_until = time.monotonic() + self._rest_s
        self._rest_s = min(LONGEST_REST_S, 2 * self._rest_s)

    # Holders

    def _watch_holders(self) -> None:
        for holder in self._equipment.holders:
            if holder not in self._watched:
                self._selector.register(holder, selectors.EVENT_READ, "holder")
        self._watched = self._equipment.holders

    def _on_holder(self, now: float) -> None:
        for holder in self._watched:
            if not holder.alive():
                if self._execution is not None:
                    self._execution.on_slot(now)
                self._end_holder(holder, "died")

    def _end_holder(self, holder: Holder, why: str) -> None:
        logger.error("the {} holder {}; the next job starts another", holder.level, why)
        self._selector.unregister(holder)
        self._watched = [other for other in self._watched if other is not holder]
        self._forget_holder(holder)
        self._equipment.drop_holder(holder)

    def _forget_holder(self, holder: Holder) -> None:  # noqa: B027  most keep nothing
        """What was kept in it is gone."""

    def _end_silent_keeper(self, execution: Attempt, now: float) -> None:
        """The last resort: whatever is under the holder dies with it."""
        execution.silent = False
        for holder in self._watched:
            if holder.level == execution.level:
                self._end_holder(holder, "does not answer and is killed")
        execution.on_slot(now)


def no_sandbox(level: str, error: Exception) -> Outcome:
    """The end of a job whose isolation cannot be had."""
    return Outcome(reason="spawn_error", message=f"isolation {level} cannot be had here: {error}")
