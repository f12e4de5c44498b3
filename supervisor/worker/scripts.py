"""The worker of scripts: one lease at a time, from the broker to a slot of the sandbox and back.

Invariant: it has one lease at most, and asks for none while it has one. Never runs what a job brings.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Sequence

from supervisor.child import WorkerContext
from supervisor.core.shortage import short_of
from supervisor.sandbox import Holder, SandboxError, Slot
from supervisor.wire.lease import Lease, Release
from supervisor.worker.channel import Channel
from supervisor.worker.equipment import Equipment
from supervisor.worker.execution import Execution
from supervisor.worker.finished import Finished
from supervisor.worker.loop import Worker, no_sandbox
from supervisor.worker.prestart import Prestart
from supervisor.worker.title import set_title
from supervisor.worker.wear import Wear, own_rss_bytes


class ScriptWorker(Worker):
    """Its job is in `_execution`."""

    _execution: Execution | None

    def __init__(self, context: WorkerContext, equipment: Equipment) -> None:
        super().__init__(context, equipment)
        self._prestart = Prestart(equipment, self._selector, context.pool, time.monotonic())
        self._wear = Wear(context.pool)

    def _types(self) -> tuple[str, ...]:
        return self._context.pool.types

    # Leases

    def wants_leases(self) -> int:
        return int(self._execution is None and not self._leaving() and self._rest_until is None)

    def take(self, leases: Sequence[Lease], now: float) -> None:
        """Begins the attempt of a lease, or gives it back."""
        for lease in leases:
            if self.wants_leases():
                self._take(lease, now)
            else:
                self._broker.settle(Release(id=0, lease=lease.lease))

    def _take(self, lease: Lease, now: float) -> None:
        set_title(self._context.name, lease.job)
        self._equipment.expect_disk()
        level = self._equipment.level_for(lease)
        self._on_holder(now)
        waiting = self._prestart.take(lease, level)
        self._broker.forget_standby()
        if waiting is None:
            self._start(lease, level)
            return
        spare, plan = waiting
        execution = self._attempt(lease, spare.slot, spare.channel, level)
        execution.begin_behind_gate(spare, plan)
        self._watch_attempt(execution)

    def _start(self, lease: Lease, level: str) -> None:
        try:
            holder = self._equipment.holder(level)
            self._watch_holders()
            channel = Channel()
            try:
                slot = holder.prepare(self._equipment.slot_class(lease))
            except SandboxError:
                channel.close()
                raise
        except OSError as error:
            if (want := short_of(error.errno)) is None:
                raise
            self._end(lease, level, Finished(None, starved=want))
            return
        except SandboxError as error:
            died = error.lost or any(not holder.alive() for holder in self._watched)
            want = None if died else short_of(error.errno)
            if want is not None:
                self._end(lease, level, Finished(None, starved=want))
                return
            self._end(lease, level, Finished(None if died else no_sandbox(level, error), lost=died))
            return
        self._watch_attempt(self._attempt(lease, slot, channel, level))

    def _attempt(self, lease: Lease, slot: Slot, channel: Channel, level: str) -> Execution:
        self._execution = execution = Execution(
            lease, slot, channel, self._equipment, level, lambda: self._mark_started(lease.lease)
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

    def _on_event(self, source: str, now: float) -> None:
        match source:
            case "slot" if self._execution is not None:
                self._execution.on_slot(now)
            case "channel" if self._execution is not None:
                self._on_channel(self._execution)
            case "spare":
                self._prestart.on_slot(now)

    def _on_channel(self, execution: Execution) -> None:
        execution.on_channel()
        if not execution.channel.open:
            self._selector.unregister(execution.channel)

    def _on_clock(self, now: float) -> None:
        self._broker.on_time(now)
        if self._execution is not None:
            self._execution.on_time(now)
        elif self._leaving():
            self._prestart.drop()
        elif not self._broker.settling:
            self._prestart.on_idle(now)
            self._broker.stand_by(self._prestart.standby())
            self._watch_holders()

    def _next_times(self, now: float) -> tuple[float | None, ...]:
        if self._execution is not None:
            return self._broker.next_time(), self._execution.next_time()
        if self._broker.settling or self._leaving():
            return (self._broker.next_time(),)
        return self._broker.next_time(), self._prestart.next_time()

    def _forget_holder(self, holder: Holder) -> None:
        self._prestart.drop(holder.level)

    # The end of an attempt

    def _on_finished(self, finished: Finished, now: float) -> None:
        execution, self._execution = self._execution, None
        assert execution is not None
        for key in list(self._selector.get_map().values()):
            if key.fileobj in (execution.slot, execution.channel):
                self._selector.unregister(key.fileobj)
        set_title(self._context.name, execution.lease.job if finished.not_begun else None)
        self._prestart.learn(execution.lease, execution.level, begun=not finished.not_begun)
        if finished.not_begun:
            self._start(execution.lease, execution.level)
            return
        self._end(execution.lease, execution.level, finished)

    def _end(self, lease: Lease, level: str, finished: Finished) -> None:
        if finished.outcome is not None:
            self._started_one()
            # One job more: this process may have to make room for a fresh one.
            self._wear.jobs += 1
            self._wear.rss_bytes = own_rss_bytes()
            self.worn = self._wear.worn()
        self._settle(lease, level, finished, more=self.wants_leases())
