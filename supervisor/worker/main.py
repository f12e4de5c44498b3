"""The worker's loop: one lease at a time, from the broker to the sandbox and back.

Everything is an event: the broker's answers, the keeper's reports, the job's words, the clock, SIGTERM. Cancel and
shutdown are heard in every state, also while draining. Whatever ends the broker, the job runs on.
"""

from __future__ import annotations

import selectors
import time
from typing import Final

from loguru import logger

from supervisor import log
from supervisor.child import WorkerContext
from supervisor.core.outcome import Outcome
from supervisor.sandbox import Holder, SandboxError, become_subreaper
from supervisor.wire.lease import NULL, Attach, Lease, Release, Settle
from supervisor.worker.conversation import Conversation
from supervisor.worker.equipment import Equipment
from supervisor.worker.execution import Execution, Finished
from supervisor.worker.link import Link
from supervisor.worker.signals import Terminations
from supervisor.worker.title import set_title

MAX_UNSTARTED: Final = 5
EXIT_OK: Final = 0
EXIT_STUCK: Final = 5
"""A process that cannot be killed is in this worker's tree: the arbiter finds it and parks the slot."""
EXIT_BROKEN: Final = 6
"""It got leases and could start none of them: it counts as a death, and another worker may do better."""


def run(context: WorkerContext) -> int:
    """The life of a worker process; returns its exit status."""
    log.configure(f"worker {context.name}", context.settings.log)
    become_subreaper()
    equipment = Equipment(context)
    worker = Worker(context, equipment)
    try:
        worker.work()
    finally:
        equipment.close()
    if worker.stuck_job is not None:
        context.scoreboard.say(f"a process of job {worker.stuck_job} cannot be killed: this slot is set aside")
        return EXIT_STUCK
    if worker.is_broken:
        context.scoreboard.say(f"{MAX_UNSTARTED} leases in a row could not be started")
        return EXIT_BROKEN
    return EXIT_OK


class Worker:
    """One worker: at most one lease, in `_execution` while it runs, in the conversation until it is acknowledged."""

    def __init__(self, context: WorkerContext, equipment: Equipment) -> None:
        self._context = context
        self._equipment = equipment
        self._selector = selectors.DefaultSelector()
        self._broker = Conversation(Link(context.paths.socket, self._selector), self)
        self._execution: Execution | None = None
        self._terms = Terminations()
        self._watched: list[Holder] = []
        self._unstarted = 0
        self.stuck_job: int | None = None

    def work(self) -> None:
        """Until it has drained."""
        self._selector.register(self._terms, selectors.EVENT_READ, "wake")
        self._watch_holders()
        while not self._drained():
            self._on_time(time.monotonic())
            for key, _ in self._selector.select(self._patience(time.monotonic())):
                self._dispatch(key.data)
            self._context.scoreboard.beat()
        self._broker.close()

    @property
    def is_broken(self) -> bool:
        """Whether it gets leases and cannot start them."""
        return self._unstarted >= MAX_UNSTARTED

    def _leaving(self) -> bool:
        return self._terms.count > 0 or self.stuck_job is not None or self.is_broken

    def _drained(self) -> bool:
        return self._leaving() and self._execution is None and not self._broker.settling

    # What the conversation asks and tells

    def introduce(self) -> Attach:
        """Who this worker is, what it runs, and what it has for jobs."""
        equipment = self._equipment
        return Attach(
            id=0,
            incarnation=self._context.incarnation,
            worker=self._context.name,
            pool=self._context.pool.name,
            holding=(self._execution.lease.lease,) if self._execution is not None else (),
            isolation=equipment.level,
            isolation_notes=equipment.notes,
            isolation_remedies=equipment.remedies,
            enforced=equipment.enforced_at(equipment.level),
            interpreters=equipment.versions,
            missing=equipment.missing,
        )

    def wants_lease(self) -> bool:
        """Whether it is free and stays."""
        return self._execution is None and not self._leaving()

    def take(self, lease: Lease, now: float) -> None:
        """Begins the attempt of a lease, or gives it back."""
        if self._leaving():
            self._broker.settle(Release(id=0, lease=lease.lease))
            return
        set_title(self._context.name, lease.job)
        level = self._equipment.level_for(lease)
        self._on_holder(now)
        try:
            holder = self._equipment.holder(level)
            self._watch_holders()
            slot = holder.prepare(self._equipment.slot_class(lease))
        except SandboxError as error:
            died = any(not holder.alive() for holder in self._watched)
            self._settle(lease, level, Finished(None if died else _no_sandbox(level, error), lost=died))
            return
        self._execution = Execution(lease, slot, self._equipment, level, lambda: self._mark_started(lease.lease))
        self._selector.register(slot, selectors.EVENT_READ, "slot")
        self._selector.register(self._execution.channel, selectors.EVENT_READ, "channel")

    def cancel(self, lease: int, now: float) -> None:
        """Ends the attempt, if it is the one that runs."""
        if self._execution is not None and self._execution.lease.lease == lease:
            self._execution.cancel(now)

    # Events

    def _dispatch(self, source: str) -> None:
        now = time.monotonic()
        match source:
            case "wake":
                self._on_signal(now)
            case "link":
                self._broker.on_link(now)
            case "slot" if self._execution is not None:
                self._execution.on_slot(now)
            case "channel" if self._execution is not None:
                self._on_channel(self._execution)
            case "holder":
                self._on_holder(now)
        self._after(now)

    def _on_signal(self, now: float) -> None:
        if self._terms.receive() >= 2 and self._execution is not None:
            self._execution.interrupt(now)

    def _on_channel(self, execution: Execution) -> None:
        execution.on_channel()
        if not execution.channel.open:
            self._selector.unregister(execution.channel)

    def _on_holder(self, now: float) -> None:
        for holder in self._watched:
            if not holder.alive():
                if self._execution is not None:
                    self._execution.on_slot(now)
                self._end_holder(holder, "died")

    def _on_time(self, now: float) -> None:
        self._broker.on_time(now)
        if self._execution is not None:
            self._execution.on_time(now)
        self._after(now)

    def _patience(self, now: float) -> float | None:
        times = (self._broker.next_time(), self._execution.next_time() if self._execution is not None else None)
        due = [at for at in times if at is not None]
        return max(0.0, min(due) - now) if due else None

    def _after(self, now: float) -> None:
        execution = self._execution
        if execution is None:
            return
        if execution.silent:
            self._end_silent_keeper(execution, now)
        if execution.finished is not None:
            self._finish(execution, execution.finished)
        elif self._broker.hears and (progress := execution.new_progress(now)) is not None:
            self._broker.report(execution.lease.lease, progress)

    # The end of an attempt

    def _mark_started(self, lease: int) -> None:
        self._context.scoreboard.started = lease

    def _finish(self, execution: Execution, finished: Finished) -> None:
        self._execution = None
        for key in list(self._selector.get_map().values()):
            if key.fileobj in (execution.slot, execution.channel):
                self._selector.unregister(key.fileobj)
        set_title(self._context.name, None)
        self._settle(execution.lease, execution.level, finished)

    def _settle(self, lease: Lease, level: str, finished: Finished) -> None:
        outcome = finished.outcome
        if outcome is None:
            self._unstarted += finished.lost
            self._broker.settle(Release(id=0, lease=lease.lease))
            return
        self._unstarted = 0
        if outcome.reason == "stuck":
            self.stuck_job = lease.job
        self._broker.settle(
            Settle(
                id=0,
                lease=lease.lease,
                outcome=outcome,
                isolation=level,
                result=NULL if finished.result is None else finished.result,
                progress=finished.progress,
                next=not self._leaving(),
            )
        )

    # Holders

    def _watch_holders(self) -> None:
        for holder in self._equipment.holders:
            if holder not in self._watched:
                self._selector.register(holder, selectors.EVENT_READ, "holder")
        self._watched = self._equipment.holders

    def _end_holder(self, holder: Holder, why: str) -> None:
        logger.error("the {} holder {}; the next job starts another", holder.level, why)
        self._selector.unregister(holder)
        self._watched = [other for other in self._watched if other is not holder]
        self._equipment.drop_holder(holder)

    def _end_silent_keeper(self, execution: Execution, now: float) -> None:
        """The last resort: whatever is under the holder dies with it."""
        execution.silent = False
        for holder in self._watched:
            if holder.level == execution.level:
                self._end_holder(holder, "does not answer and is killed")
        execution.on_slot(now)


def _no_sandbox(level: str, error: SandboxError) -> Outcome:
    return Outcome(reason="spawn_error", message=f"isolation {level} cannot be had here: {error}")
