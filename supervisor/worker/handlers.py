"""The worker of a handler: gives its runner one job after the other, and may have the next ones in hand already.

```
take: hand << leases        begin: the first of the hand -> runner        its end -> settle, and more leases asked for
```
Invariant: a job begins only when the ends of all before it are with the kernel on their way to the broker, and is marked
as begun before the runner has it. Whatever dies, the one that ran is blamed, and those in the hand have not begun.
What takes long keeps no others waiting: they go back from the hand to the queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from supervisor.child import WorkerContext
from supervisor.core.shortage import short_of
from supervisor.sandbox import SandboxError
from supervisor.wire.lease import Lease, Release
from supervisor.worker.equipment import Equipment
from supervisor.worker.finished import Finished
from supervisor.worker.handling import WATCH_AFTER_S, Handling
from supervisor.worker.loop import Worker
from supervisor.worker.runner import Runner
from supervisor.worker.title import set_title

KEPT_WAITING_S: Final = 1.0
"""So long a job waits in the hand for those before it."""


class HandlerWorker(Worker):
    """Its job is in `_execution`, those that it has leases for and has not begun are in `_hand`."""

    _execution: Handling | None

    def __init__(self, context: WorkerContext, equipment: Equipment) -> None:
        super().__init__(context, equipment)
        self._runner = Runner(context, equipment, self._selector)
        self._batch = context.pool.lease_batch
        self._hand: deque[tuple[Lease, float]] = deque()
        self._waited_s = 0.0
        self._title_at: float | None = None
        self._is_titled = False

    def work(self) -> None:
        """Until it has drained; its runner is torn down after that."""
        super().work()
        self._runner.close()

    @property
    def has_no_handler(self) -> str | None:
        return self._runner.broken

    def _types(self) -> tuple[str, ...]:
        return self._runner.types

    # Leases

    def wants_leases(self) -> int:
        return self._batch if self._execution is None and not self._hand and self._may_begin() else 0

    def _may_begin(self) -> bool:
        return self._runner.ready and self._rest_until is None and not self._leaving()

    def take(self, leases: Sequence[Lease], now: float) -> None:
        """Begins the first as soon as it can; gives all back if it cannot."""
        if self._leaving() or (self._execution is None and not self._may_begin()):
            self._release(leases)
            return
        self._hand.extend((lease, now) for lease in leases)
        self._begin_next(now)

    def cancel(self, lease: int, now: float) -> None:
        """Ends the attempt if it runs; one that has not begun never will."""
        if self._execution is not None and self._execution.lease.lease == lease:
            self._execution.cancel(now)
            return
        for waiting in self._hand:
            if waiting[0].lease == lease:
                self._hand.remove(waiting)
                self._broker.settle(Release(id=0, lease=lease))
                return

    def _holds(self) -> tuple[int, ...]:
        running = (self._execution.lease.lease,) if self._execution is not None else ()
        return (*running, *(lease.lease for lease, _ in self._hand))

    def _begin_next(self, now: float) -> None:
        """Begins the first of the hand, unless a job runs or the broker could not learn of the last one's end."""
        if self._execution is not None or not self._hand or not self._broker.has_said_all or not self._may_begin():
            return
        lease, since = self._hand.popleft()
        self._waited_s = now - since
        self._title_at = now + WATCH_AFTER_S
        self._execution = Handling(lease, self._runner, self._equipment, lambda: self._mark_started(lease.lease), now)
        if self._execution.finished is not None:
            self._on_finished(self._execution.finished, now)

    def _hand_back(self) -> None:
        """What has not begun is for others."""
        leases = [lease for lease, _ in self._hand]
        self._hand.clear()
        self._release(leases)

    def _release(self, leases: Sequence[Lease]) -> None:
        for lease in leases:
            self._broker.settle(Release(id=0, lease=lease.lease))

    # Events

    def _on_event(self, source: str, now: float) -> None:
        match source:
            case "runner":
                self._runner.on_slot(now)
            case "talk":
                self._runner.on_talk(now)

    def _on_clock(self, now: float) -> None:
        if self._runner.known:
            self._broker.on_time(now)
        self._runner.on_time(now)
        if self._hand and (self._leaving() or now >= self._hand[0][1] + KEPT_WAITING_S):
            self._hand_back()
        execution = self._execution
        if execution is not None:
            execution.on_time(now)
            if self._title_at is not None and now >= self._title_at:
                self._show(execution.lease.job)
        elif not self._leaving() and not self._broker.settling:
            self._watch_holders()

    def _next_times(self, now: float) -> tuple[float | None, ...]:
        talk = self._broker.next_time() if self._runner.known else None
        kept_until = self._hand[0][1] + KEPT_WAITING_S if self._hand else None
        if self._execution is None:
            return talk, self._runner.next_time(), kept_until
        return talk, self._runner.next_time(), kept_until, self._execution.next_time()

    def _at_rest(self, now: float) -> None:
        """Sees to it that there is a runner, and that it has something to do."""
        if self._hand:
            if not self._may_begin():
                self._hand_back()
            self._begin_next(now)
        runner = self._runner
        if self._leaving() or self._rest_until is not None:
            return
        if runner.absent:
            self._start_runner(now)
        elif runner.became_ready():
            self._broker.go_on()

    def _start_runner(self, now: float) -> None:
        self._on_holder(now)
        try:
            self._runner.start(now)
        except SandboxError as error:
            if want := short_of(error.errno):
                self._rest(want)
            else:
                self._runner.broken = f"its runner cannot be started here: {error}"
        self._watch_holders()

    def _show(self, job: int | None) -> None:
        """Only a job that lasts is shown: the others come and go faster than anybody looks."""
        self._title_at = None
        if job is not None or self._is_titled:
            self._is_titled = job is not None
            set_title(self._context.name, job)

    # The end of an attempt

    def _on_finished(self, finished: Finished, now: float) -> None:
        execution, self._execution = self._execution, None
        assert execution is not None
        self._show(None)
        if finished.outcome is not None:
            self._started_one()
        self._settle(execution.lease, execution.level, finished, more=self._more(), waited_s=self._waited_s)
        if self._hand and not self._may_begin():
            self._hand_back()
        self._begin_next(now)

    def _more(self) -> int:
        """How many leases to ask for with an outcome: as many as there is room for, but not in dribs and drabs."""
        if not self._may_begin():
            return 0
        room = self._batch - len(self._hand) - self._broker.asked
        return room if 2 * room >= self._batch else 0
