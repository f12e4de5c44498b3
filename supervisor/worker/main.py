"""The worker's loop: one lease at a time, from the broker to the sandbox and back.

Everything is an event: the broker's answers, the keeper's reports, the job's words, the clock, SIGTERM. Cancel and
shutdown are heard in every state, also while draining. Whatever ends the broker, the job runs on.
"""

from __future__ import annotations

import selectors
import time
from typing import Final

from loguru import logger

from supervisor import __version__, log
from supervisor.child import EXIT_RECYCLED, WorkerContext
from supervisor.core.fleet import BEATS_A_PERIOD, RECYCLE_WORD
from supervisor.core.outcome import Outcome
from supervisor.core.shortage import Shortage, short_of
from supervisor.sandbox import Holder, SandboxError, Slot, become_subreaper
from supervisor.wire.lease import NULL, Attach, Lease, Release, Settle
from supervisor.worker.conversation import Conversation
from supervisor.worker.equipment import Equipment
from supervisor.worker.execution import Execution, Finished
from supervisor.worker.handling import Handling
from supervisor.worker.link import Link
from supervisor.worker.prestart import Prestart
from supervisor.worker.runner import Runner
from supervisor.worker.signals import Terminations
from supervisor.worker.title import set_title
from supervisor.worker.wear import Wear, own_rss_bytes

MAX_UNSTARTED: Final = 5
SHORTEST_REST_S: Final = 1.0
LONGEST_REST_S: Final = 10.0
"""How long a worker waits while the machine is short of something that a job's start needs."""
EXIT_OK: Final = 0
EXIT_STUCK: Final = 5
"""A process that cannot be killed is in this worker's tree: the arbiter finds it and parks the slot."""
EXIT_BROKEN: Final = 6
"""It got leases and could start none of them: it counts as a death, and another worker may do better."""
EXIT_NO_HANDLER: Final = 7
"""Its handler could not be imported or set up."""


def run(context: WorkerContext) -> int:
    """The life of a worker process; returns its exit status."""
    log.configure(f"worker {context.name}", context.settings.log)
    become_subreaper()
    equipment = _equip(context)
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
    if worker.has_no_handler is not None:
        context.scoreboard.say(f"the handler {context.pool.handler} cannot be had: {worker.has_no_handler}")
        return EXIT_NO_HANDLER
    if worker.worn is not None:
        context.scoreboard.say(f"{RECYCLE_WORD}{worker.worn}")
        return EXIT_RECYCLED
    return EXIT_OK


def _equip(context: WorkerContext) -> Equipment:
    """What can be had here, found when the machine is not short of what the finding needs."""
    while True:
        try:
            return Equipment(context)
        except Shortage as want:
            logger.warning("nothing can be tried out, the machine is short of {}: trying again", want)
            context.scoreboard.beat()
            time.sleep(SHORTEST_REST_S)


class Worker:
    """One worker: at most one lease, in `_execution` while it runs, in the conversation until it is acknowledged."""

    def __init__(self, context: WorkerContext, equipment: Equipment) -> None:
        self._context = context
        self._equipment = equipment
        self._beat_s = context.settings.hang_timeout_s / BEATS_A_PERIOD
        self._selector = selectors.DefaultSelector()
        self._broker = Conversation(Link(context.paths.socket, self._selector), self)
        self._execution: Execution | Handling | None = None
        self._runner = Runner(context, equipment, self._selector) if context.pool.handler is not None else None
        self._prestart = Prestart(equipment, self._selector, context.pool, time.monotonic())
        self._wear = Wear(context.pool)
        self.worn: str | None = None
        self._terms = Terminations()
        self._watched: list[Holder] = []
        self._unstarted = 0
        self._rest_until: float | None = None
        self._rest_s = SHORTEST_REST_S
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
        if self._runner is not None:
            self._runner.close()

    @property
    def is_broken(self) -> bool:
        """Whether it gets leases and cannot start them."""
        return self._unstarted >= MAX_UNSTARTED

    @property
    def has_no_handler(self) -> str | None:
        """Why its handler cannot be had; None if it has none to have, or can."""
        return self._runner.broken if self._runner is not None else None

    def _leaving(self) -> bool:
        return (
            self._terms.count > 0
            or self.stuck_job is not None
            or self.is_broken
            or self.worn is not None
            or self.has_no_handler is not None
        )

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
            types=self._context.pool.types if self._runner is None else self._runner.types,
            version=__version__,
        )

    def wants_lease(self) -> bool:
        """Whether it is free and stays."""
        if self._execution is not None or self._leaving() or self._rest_until is not None:
            return False
        return self._runner is None or self._runner.ready

    def take(self, lease: Lease, now: float) -> None:
        """Begins the attempt of a lease, or gives it back."""
        if not self.wants_lease():
            self._broker.settle(Release(id=0, lease=lease.lease))
            return
        set_title(self._context.name, lease.job)
        if self._runner is not None:
            level = self._equipment.level
            self._execution = Handling(
                lease, self._runner, self._equipment, level, lambda: self._mark_started(lease.lease)
            )
            return
        self._equipment.expect_disk()
        level = self._equipment.level_for(lease)
        self._on_holder(now)
        waiting = self._prestart.take(lease, level)
        self._broker.forget_standby()
        if waiting is None:
            self._start(lease, level)
            return
        spare, plan = waiting
        execution = self._attempt(lease, spare.slot, level)
        execution.begin_behind_gate(spare, plan, now)
        self._watch_attempt(execution)

    def _start(self, lease: Lease, level: str) -> None:
        try:
            holder = self._equipment.holder(level)
            self._watch_holders()
            slot = holder.prepare(self._equipment.slot_class(lease))
        except SandboxError as error:
            died = error.lost or any(not holder.alive() for holder in self._watched)
            want = None if died else short_of(error.errno)
            if want is not None:
                self._settle(lease, level, Finished(None, starved=want))
                return
            self._settle(lease, level, Finished(None if died else _no_sandbox(level, error), lost=died))
            return
        self._watch_attempt(self._attempt(lease, slot, level))

    def _attempt(self, lease: Lease, slot: Slot, level: str) -> Execution:
        self._execution = execution = Execution(
            lease, slot, self._equipment, level, lambda: self._mark_started(lease.lease)
        )
        return execution

    def _watch_attempt(self, execution: Execution) -> None:
        if execution.finished is None:
            self._selector.register(execution.slot, selectors.EVENT_READ, "slot")
            self._selector.register(execution.channel, selectors.EVENT_READ, "channel")

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
            case "spare":
                self._prestart.on_slot(now)
            case "channel" if isinstance(self._execution, Execution):
                self._on_channel(self._execution)
            case "runner" if self._runner is not None:
                self._runner.on_slot(now)
            case "talk" if self._runner is not None:
                self._runner.on_talk(now)
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
        if self._rest_until is not None and now >= self._rest_until:
            self._rest_until = None
            self._broker.go_on()
        if self._runner is None or self._runner.known:
            self._broker.on_time(now)
        if self._runner is not None:
            self._runner.on_time(now)
        if self._execution is not None:
            self._execution.on_time(now)
        elif self._leaving():
            self._prestart.drop()
        elif not self._broker.settling:
            self._prestart.on_idle(now)
            self._broker.stand_by(self._prestart.standby())
            self._watch_holders()
        self._after(now)

    def _patience(self, now: float) -> float:
        sides = (
            self._broker if self._runner is None or self._runner.known else None,
            self._runner,
            self._execution or (None if self._broker.settling or self._leaving() else self._prestart),
        )
        times = (self._rest_until, *(side.next_time() for side in sides if side is not None))
        due = [at for at in times if at is not None]
        # Never longer than to the next sign of life.
        return min(self._beat_s, max(0.0, min(due) - now)) if due else self._beat_s

    def _after(self, now: float) -> None:
        execution = self._execution
        if execution is None:
            self._tend_runner(now)
            return
        if execution.silent:
            self._end_silent_keeper(execution, now)
        if execution.finished is not None:
            self._finish(execution, execution.finished)
            return
        if (use := execution.use) is not None:
            self._context.scoreboard.use(use.cpu_s, use.memory_bytes)
        if self._broker.hears and (progress := execution.new_progress(now)) is not None:
            self._broker.report(execution.lease.lease, progress)

    def _tend_runner(self, now: float) -> None:
        """Sees to it that there is a runner, and asks for a lease when it has become ready."""
        runner = self._runner
        if runner is None or self._leaving() or self._rest_until is not None:
            return
        if runner.absent:
            self._on_holder(now)
            try:
                runner.start(now)
            except SandboxError as error:
                if want := short_of(error.errno):
                    self._rest(want)
                else:
                    runner.broken = f"its runner cannot be started here: {error}"
            self._watch_holders()
        elif runner.became_ready():
            self._broker.go_on()

    # The end of an attempt

    def _mark_started(self, lease: int) -> None:
        self._context.scoreboard.start(lease)

    def _finish(self, execution: Execution | Handling, finished: Finished) -> None:
        self._execution = None
        if isinstance(execution, Execution):
            for key in list(self._selector.get_map().values()):
                if key.fileobj in (execution.slot, execution.channel):
                    self._selector.unregister(key.fileobj)
        set_title(self._context.name, execution.lease.job if finished.not_begun else None)
        if isinstance(execution, Execution):
            self._prestart.learn(execution.lease, execution.level, begun=not finished.not_begun)
        if finished.not_begun:
            self._start(execution.lease, execution.level)
            return
        self._settle(execution.lease, execution.level, finished)

    def _settle(self, lease: Lease, level: str, finished: Finished) -> None:
        outcome = finished.outcome
        if outcome is None:
            self._unstarted += finished.lost
            if finished.starved is not None:
                self._rest(finished.starved)
            self._broker.settle(Release(id=0, lease=lease.lease, declined=finished.declined))
            return
        self._unstarted = 0
        self._rest_s = SHORTEST_REST_S
        self._grow_older()
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
                next=self.wants_lease(),
            )
        )

    def _grow_older(self) -> None:
        """One job more: this process may have to make room for a fresh one. With a handler it is the runner's that do."""
        if self._runner is None:
            self._wear.jobs += 1
            self._wear.rss_bytes = own_rss_bytes()
            self.worn = self._wear.worn()

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

    def _end_holder(self, holder: Holder, why: str) -> None:
        logger.error("the {} holder {}; the next job starts another", holder.level, why)
        self._selector.unregister(holder)
        self._watched = [other for other in self._watched if other is not holder]
        self._prestart.drop(holder.level)
        self._equipment.drop_holder(holder)

    def _end_silent_keeper(self, execution: Execution | Handling, now: float) -> None:
        """The last resort: whatever is under the holder dies with it."""
        execution.silent = False
        for holder in self._watched:
            if holder.level == execution.level:
                self._end_holder(holder, "does not answer and is killed")
        execution.on_slot(now)


def _no_sandbox(level: str, error: SandboxError) -> Outcome:
    return Outcome(reason="spawn_error", message=f"isolation {level} cannot be had here: {error}")
