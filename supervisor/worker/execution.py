"""One lease, end to end: prepare, fill, start, watch, end, classify. Driven by events; it never blocks on a job.

```
preparing -Prepared-> running -deadline|cancel|interrupt|output-> ending -grace-> killing -Ended-> over
```
Why we end a job is written down before the signal is sent: its outcome comes from that, never from a guess.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

from loguru import logger
from msgspec.structs import replace

from supervisor.core.classify import classify
from supervisor.core.job import Progress
from supervisor.core.outcome import Ending, LaunchFailure, Outcome
from supervisor.core.shortage import Shortage, short_of
from supervisor.runtime import gate
from supervisor.runtime.interpreter import Missing
from supervisor.runtime.plan import Plan, plan_script
from supervisor.sandbox import Ended, Event, KeeperLost, Launch, LaunchFailed, NotBegun, Prepared, Slot, Use
from supervisor.spool import Spool
from supervisor.wire.lease import Lease
from supervisor.worker.attempt import LOOK_EVERY_S, Attempt
from supervisor.worker.channel import Channel
from supervisor.worker.ending import ending_of
from supervisor.worker.equipment import Equipment
from supervisor.worker.finished import Finished, lost_output, not_written, with_artifacts, with_note
from supervisor.worker.output import Output
from supervisor.worker.planning import facts_of, place_in
from supervisor.worker.spare import Spare
from supervisor.worker.workspace import BadArchive, Workspace

PREPARED_WITHIN_S: Final = 30.0


class Execution(Attempt):
    """The attempt of one lease in one slot."""

    def __init__(
        self,
        lease: Lease,
        slot: Slot,
        channel: Channel,
        equipment: Equipment,
        level: str,
        on_start: Callable[[], None],
    ) -> None:
        super().__init__(lease, level, equipment.kill_grace_s)
        self.slot = slot
        self.channel = channel
        self._equipment = equipment
        self._on_start = on_start
        self._output: Output | None = None
        self._work_fd: int | None = None
        self._fallbacks: dict[str, str] = {}
        self._silent_at = time.monotonic() + PREPARED_WITHIN_S

    # What happens to it

    def on_slot(self, now: float) -> None:
        """Something came from the keeper."""
        for event in self._events() if self.finished is None else ():
            if self._hear(event, now):
                return

    def begin_behind_gate(self, spare: Spare, plan: Plan) -> None:
        """The job has an interpreter that waits for it: files, limits, one message."""
        self._output, self._work_fd, self._fallbacks = spare.output, spare.work_fd, spare.fallbacks
        self._guard(lambda: self._open(spare, plan))

    @property
    def use(self) -> Use | None:
        """What it uses, if it runs long enough for that to be known."""
        return self.slot.use

    def on_channel(self) -> None:
        """The job said something."""
        self.channel.receive()

    def on_time(self, now: float) -> None:
        """Does what is due at `now`."""
        super().on_time(now)
        if (give_up_at := self.slot.give_up_at_s) is not None and now >= give_up_at:
            self.on_slot(now)

    def next_time(self) -> float | None:
        """When `on_time` is wanted, in monotonic seconds."""
        times = [at for at in (super().next_time(), self.slot.give_up_at_s) if at is not None]
        return min(times, default=None)

    @property
    def _progress(self) -> Progress | None:
        return self.channel.progress

    def _signal(self, *, kill: bool) -> None:
        self.slot.end(kill=kill)

    # How it goes

    def _events(self) -> list[Event]:
        try:
            return self.slot.receive()
        except OSError as error:
            want = None if self._started else short_of(error.errno)
            if want is None:
                raise
            # No descriptor is free for the folder that came, which is lost by that.
            self._give_back(want)
            return []

    def _hear(self, event: Event, now: float) -> bool:
        """Whether it is over: what else came with this is of a slot that is closed by now."""
        match event:
            case Prepared():
                self._begin(event)
            case NotBegun():
                self._not_begun()
            case LaunchFailed(kind="sandbox") if want := short_of(event.errno):
                self._give_back(want)
            case LaunchFailed():
                failure = LaunchFailure(event.step, event.errno, event.message, event.kind)
                self._over(Ending(launch_failure=failure, program=self._program()))
            case Ended():
                assert self._output is not None
                self._over(ending_of(event, self._output, self._intent, self._program()))
            case KeeperLost() if event.gone and not self._started:
                self._finish(Finished(None, lost=True))
            case KeeperLost():
                self._over(Ending(intent=self._intent, stuck=not event.gone))
        return self.finished is not None

    def _begin(self, prepared: Prepared) -> None:
        if self._intent is not None:
            self._finish(Finished(None))
            return
        self._guard(lambda: self._start(prepared))

    def _guard(self, start: Callable[[], None]) -> None:
        try:
            start()
        except Missing as error:
            self._refuse(str(error))
        except BadArchive as error:
            self._refuse(str(error))
        except Shortage as shortage:
            self._give_back(str(shortage))
        except OSError as error:
            if want := short_of(error.errno):
                self._give_back(want)
                return
            outcome = not_written(error, self._equipment, self.level)
            self._refuse(outcome.message, retryable=outcome.retryable)
        except Exception as defect:  # one job's: a worker that died of it would hand it on to the next one, and so on
            logger.exception("job {} cannot be started", self.lease.job)
            self._refuse(f"a defect of the daemon, see its log: {type(defect).__name__}: {defect}")

    def _start(self, prepared: Prepared) -> None:
        equipment, lease, spec = self._equipment, self.lease, self.lease.spec
        self._work_fd = prepared.work_fd
        self._silent_at = None
        self._fallbacks = prepared.fallbacks
        workspace = Workspace(prepared.work_fd, equipment.slot_uid, Spool(equipment.paths))
        workspace.make_folders()
        head = workspace.fill(lease)
        interpreter = equipment.interpreter(lease.type)
        place = place_in(prepared.job_dir)
        plan = plan_script(spec, facts_of(equipment, lease), place, interpreter, head)
        self._output = Output(
            equipment.paths,
            lease.job,
            lease.attempt,
            merge=spec.merge,
            cap_bytes=self._limits.output_bytes,
            owner=equipment.slot_uid,
        )
        stdin = workspace.open_stdin(lease)
        try:
            launch = Launch(
                argv=list(plan.argv),
                env=plan.env,
                cwd=place.job_dir,
                rlimits=plan.rlimits,
                stdin=stdin,
                stdout=self._output.stdout,
                stderr=self._output.stderr,
                channel=self.channel.theirs.fileno(),
                memory_bytes=self._limits.memory_bytes,
                cpu_s=self._limits.cpu_s,
                processes=self._limits.processes,
            )
            self._mark_started()
            self.slot.start(launch)
        finally:
            os.close(stdin)
        self._output.hand_over()
        self.channel.hand_over()

    def _open(self, spare: Spare, plan: Plan) -> None:
        content = gate.message(self.lease.type, plan)
        assert content is not None and self._output is not None
        self._silent_at = None
        Workspace(spare.work_fd, self._equipment.slot_uid, Spool(self._equipment.paths)).fill(self.lease)
        try:
            self.slot.limit(gate.late(plan), self._equipment.slot_uid, self._limits.processes)
        except OSError as error:
            logger.warning("a pre-started {} cannot be limited: {}", self.lease.type, error)
            self._not_begun()
            return
        self._output.become(self.lease.job, self.lease.attempt, self._limits.output_bytes)
        self._mark_started()
        limits = self._limits
        self.slot.open(content, memory_bytes=limits.memory_bytes, cpu_s=limits.cpu_s, processes=limits.processes)

    def _give_back(self, want: str) -> None:
        self._started = False
        self._finish(Finished(None, starved=want))

    def _not_begun(self) -> None:
        self._started = False
        self._finish(Finished(None, not_begun=self._intent is None))

    def _mark_started(self) -> None:
        self._on_start()
        self._started = True
        now = time.monotonic()  # what was laid out for it took none of its time
        self._deadline = None if self._limits.wall_s is None else now + self._limits.wall_s
        self._look_at = None if self._limits.output_bytes is None else now + LOOK_EVERY_S

    def _look(self, now: float) -> None:
        assert self._output is not None
        self._look_at = now + LOOK_EVERY_S
        if self._output.over():
            self._look_at = None
            self._end("output_limit", now)

    # How it ended

    def _over(self, ending: Ending) -> None:
        self.channel.receive()
        outcome = classify(ending, self._limits, network=self.lease.spec.network)
        # How each limit was held: as the level promises, but for what had to fall back.
        outcome = replace(outcome, enforced=self._equipment.enforced_at(self.level) | self._fallbacks)
        outcome = with_note(outcome, self.channel.refused)
        if self._output is not None:
            outcome = with_note(outcome, lost_output(self._output, self.lease.job))
        if self._started and not ending.stuck:
            assert self._work_fd is not None
            outcome = with_artifacts(outcome, self._work_fd, self.lease, self._equipment)
        self._finish(Finished(outcome, self.channel.result, self.channel.progress))

    def _refuse(self, why: str, *, retryable: bool = False) -> None:
        logger.info("job {} attempt {} cannot start: {}", self.lease.job, self.lease.attempt, why)
        self._finish(Finished(Outcome(reason="spawn_error", message=why, retryable=retryable)))

    def _finish(self, finished: Finished) -> None:
        self._stop_clocks()
        self.slot.close()
        self.channel.close()
        if self._output is not None:
            self._output.close()
            if not self._started:
                self._output.discard()
        self.finished = finished

    def _program(self) -> str:
        return self.lease.spec.main or self.lease.type
