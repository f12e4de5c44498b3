"""The worker's loop: one lease at a time, from the broker to the sandbox and back.

Everything is an event: the broker's answers, the keeper's reports, the job's words, the clock, SIGTERM. Cancel and
shutdown are heard in every state, also while draining. Whatever ends the broker, the job runs on and its outcome is
settled when there is a broker again; the same settle twice is harmless.
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
from supervisor.wire.control import Request
from supervisor.wire.lease import NULL, Attach, Lease, Next, Order, Release, Report, Settle, Settled
from supervisor.worker.equipment import Equipment
from supervisor.worker.execution import Execution, Finished
from supervisor.worker.link import Answer, Link, value_of
from supervisor.worker.signals import Terminations
from supervisor.worker.title import set_title

REPEAT_S: Final = 0.5
REPEAT_CAP_S: Final = 10.0
"""Between repeats of a settle that the broker could not store: at first, and at most."""
MAX_UNSTARTED: Final = 5
EXIT_OK: Final = 0
EXIT_STUCK: Final = 5
EXIT_BROKEN: Final = 6
"""A process that cannot be killed is in this worker's tree: the arbiter finds it and parks the slot."""


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
    """One worker: at most one lease, in `self._execution` while it runs and in `self._settle` until acknowledged."""

    def __init__(self, context: WorkerContext, equipment: Equipment) -> None:
        self._context = context
        self._equipment = equipment
        self._selector = selectors.DefaultSelector()
        self._link = Link(context.paths.socket, self._selector)
        self._execution: Execution | None = None
        self._settle: Settle | Release | None = None
        self._settle_at: float | None = None
        self._request = 0
        self._attach_id = -1
        self._next_id: int | None = None
        self._settle_id: int | None = None
        self._attached = False
        self._terms = Terminations()
        self._watched: list[Holder] = []
        self.stuck_job: int | None = None
        self._unstarted = 0
        self._repeat_s = REPEAT_S

    def work(self) -> None:
        """Until it has drained."""
        self._selector.register(self._terms, selectors.EVENT_READ, "wake")
        self._watch_holders()
        while not self._drained():
            now = time.monotonic()
            if self._link.connect(now):
                self._attach()
            for key, _ in self._selector.select(self._patience(now)):
                self._dispatch(key.data)
            self._context.scoreboard.beat()
            self._on_time(time.monotonic())
        self._link.close()

    def _on_signal(self) -> None:
        if self._terms.receive() >= 2 and self._execution is not None:
            self._execution.interrupt(time.monotonic())

    def _drained(self) -> bool:
        leaving = self._terms.count > 0 or self.stuck_job is not None or self.is_broken
        return leaving and self._execution is None and self._settle is None

    @property
    def is_broken(self) -> bool:
        """Whether it gets leases and cannot start them: another worker may."""
        return self._unstarted >= MAX_UNSTARTED

    # Events

    def _dispatch(self, source: str) -> None:
        now = time.monotonic()
        match source:
            case "wake":
                self._on_signal()
            case "link":
                self._on_link(now)
            case "slot" if self._execution is not None:
                self._execution.on_slot(now)
            case "channel" if self._execution is not None:
                self._on_channel(now)
            case "holder":
                self._on_holder(now)
        self._after(now)

    def _on_link(self, now: float) -> None:
        self._link.flush()
        for answer in self._link.receive(now):
            self._hear(answer, now)
        if not self._link.open:
            self._attached = False
            self._next_id = self._settle_id = None

    def _on_channel(self, now: float) -> None:
        execution = self._execution
        assert execution is not None
        execution.on_channel()
        if not execution.channel.open:
            self._selector.unregister(execution.channel)

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
        self._equipment.drop_holder(holder)

    def _end_silent_keeper(self, execution: Execution, now: float) -> None:
        """The last resort: whatever is under the holder dies with it."""
        execution.silent = False
        for holder in self._watched:
            if holder.level == execution.level:
                self._end_holder(holder, "does not answer and is killed")
        execution.on_slot(now)

    def _on_time(self, now: float) -> None:
        if self._execution is not None:
            self._execution.on_time(now)
        if self._settle_at is not None and now >= self._settle_at:
            self._send_settle()
        self._after(now)

    def _patience(self, now: float) -> float | None:
        times = [self._link.retry_at, self._settle_at]
        if self._execution is not None:
            times.append(self._execution.next_time())
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
        elif self._attached and (progress := execution.new_progress(now)) is not None:
            self._say(Report(id=self._number(), lease=execution.lease.lease, progress=progress))

    # The broker

    def _say(self, request: Request) -> int:
        self._link.send(request)
        return request.id

    def _number(self) -> int:
        self._request += 1
        return self._request

    def _attach(self) -> None:
        equipment = self._equipment
        holding = [self._execution.lease.lease] if self._execution is not None else []
        if isinstance(self._settle, Settle):
            holding.append(self._settle.lease)
        self._attach_id = self._say(
            Attach(
                id=self._number(),
                incarnation=self._context.incarnation,
                worker=self._context.name,
                pool=self._context.pool.name,
                holding=tuple(holding),
                isolation=equipment.level,
                isolation_notes=equipment.notes,
                isolation_remedies=equipment.remedies,
                enforced=equipment.enforced_at(equipment.level),
                interpreters=equipment.versions,
                missing=equipment.missing,
            )
        )

    def _hear(self, answer: Answer, now: float) -> None:
        if answer.id == self._attach_id:
            self._on_attach(answer, now)
        elif answer.id == self._next_id:
            self._next_id = None
            if answer.re == "ok":
                self._take(value_of(answer, Lease), now)
            else:
                self._ask_later(answer, now)
        elif answer.id == self._settle_id:
            self._settle_id = None
            self._on_settled(answer, now)

    def _on_attach(self, answer: Answer, now: float) -> None:
        if answer.re == "item":
            order = value_of(answer, Order)
            if self._execution is not None and self._execution.lease.lease == order.cancel:
                self._execution.cancel(now)
        elif answer.re == "ok":
            self._attached = True
            self._go_on()
        else:
            self._ask_later(answer, now)

    def _go_on(self) -> None:
        """Says what is to be said in the present state: a settle, or that a lease is wanted."""
        if self._settle is not None:
            self._send_settle()
        elif self._execution is None and self._next_id is None and not self._drained() and self._attached:
            self._next_id = self._say(Next(id=self._number()))

    def _ask_later(self, answer: Answer, now: float) -> None:
        logger.warning("the broker refused: {} ({})", answer.message, answer.code)
        self._link.close()
        self._link.postpone(now + REPEAT_S)
        self._attached = False

    # A lease

    def _take(self, lease: Lease, now: float) -> None:
        if self._terms.count > 0:
            self._settle = Release(id=0, lease=lease.lease)
            self._send_settle()
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
            self._settle_as(lease, level, Finished(None if died else _no_sandbox(level, error), None, None))
            return
        self._execution = Execution(lease, slot, self._equipment, level, lambda: self._mark_started(lease.lease))
        self._selector.register(slot, selectors.EVENT_READ, "slot")
        self._selector.register(self._execution.channel, selectors.EVENT_READ, "channel")

    def _mark_started(self, lease: int) -> None:
        self._context.scoreboard.started = lease

    def _finish(self, execution: Execution, finished: Finished) -> None:
        self._execution = None
        self._unwatch(execution)
        set_title(self._context.name, None)
        self._settle_as(execution.lease, execution.level, finished)

    def _unwatch(self, execution: Execution) -> None:
        for key in list(self._selector.get_map().values()):
            if key.fileobj in (execution.slot, execution.channel):
                self._selector.unregister(key.fileobj)

    def _settle_as(self, lease: Lease, level: str, finished: Finished) -> None:
        if finished.outcome is None:
            self._unstarted += 1
            self._settle = Release(id=0, lease=lease.lease)
        else:
            self._unstarted = 0
            self._settle = Settle(
                id=0,
                lease=lease.lease,
                outcome=finished.outcome,
                isolation=level,
                result=NULL if finished.result is None else finished.result,
                progress=finished.progress,
                next=self._terms.count == 0 and finished.outcome.reason != "stuck",
            )
            if finished.outcome.reason == "stuck":
                self.stuck_job = lease.job
        self._send_settle()

    def _send_settle(self) -> None:
        self._settle_at = None
        if self._settle is None or not self._attached or self._settle_id is not None:
            return
        self._settle.id = self._number()
        self._settle_id = self._say(self._settle)

    def _on_settled(self, answer: Answer, now: float) -> None:
        if answer.re == "error" and answer.code != "stale_lease":
            logger.warning("an outcome could not be stored, repeating: {} ({})", answer.message, answer.code)
            if answer.code == "bad_request" and isinstance(self._settle, Settle):
                self._settle.result, self._settle.progress = NULL, None
            self._settle_at = now + self._repeat_s
            self._repeat_s = min(REPEAT_CAP_S, self._repeat_s * 2)
            return
        self._repeat_s = REPEAT_S
        settled, self._settle = self._settle, None
        if answer.re == "ok" and isinstance(settled, Settle):
            following = value_of(answer, Settled).lease
            if following is not None:
                self._take(following, now)
                return
        self._go_on()

    def _watch_holders(self) -> None:
        for holder in self._equipment.holders:
            if holder not in self._watched:
                self._selector.register(holder, selectors.EVENT_READ, "holder")
        self._watched = self._equipment.holders


def _no_sandbox(level: str, error: SandboxError) -> Outcome:
    return Outcome(reason="spawn_error", message=f"isolation {level} cannot be had here: {error}")
