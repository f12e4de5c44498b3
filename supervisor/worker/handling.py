"""One lease of a handler's job, end to end: given to the runner, watched, ended, classified. Driven by events.

The short way is short: two output files, one message to the runner, one answer. What watches a job (its memory, its
CPU time, its output) begins when the job has lasted WATCH_AFTER_S.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import msgspec
from loguru import logger

from supervisor.core.classify import classify
from supervisor.core.job import Progress
from supervisor.core.outcome import Ending, Outcome
from supervisor.core.shortage import Shortage, short_of
from supervisor.sandbox import Ended, KeeperLost, Use
from supervisor.wire.lease import Lease
from supervisor.worker.attempt import LOOK_EVERY_S, Attempt
from supervisor.worker.ending import ending_of
from supervisor.worker.equipment import Equipment
from supervisor.worker.finished import Finished, lost_output, with_note
from supervisor.worker.output import Output
from supervisor.worker.runner import Gone, Runner
from supervisor.worker.said import Declined, Done, Give, Over, Raised, Said, Told, encode

WATCH_AFTER_S: Final = 0.05
_FAILED: Final = 1 << 8
"""Wait status of a process that exited with 1, which is what a handler that raised amounts to."""


class Handling(Attempt):
    """The attempt of one lease in the runner."""

    def __init__(
        self, lease: Lease, runner: Runner, equipment: Equipment, on_start: Callable[[], None], now: float
    ) -> None:
        super().__init__(lease, equipment.level, equipment.kill_grace_s)
        self._runner = runner
        self._equipment = equipment
        self._output: Output | None = None
        self._answer: Done | Raised | Declined | None = None
        self._began = now
        self._cpu_before_s, self._peak_before = runner.cpu_s, runner.peak_bytes
        self._deadline = None if self._limits.wall_s is None else now + self._limits.wall_s
        self._look_at = now + WATCH_AFTER_S
        self._is_watched = False
        self._said_last: Progress | None = None
        self._started = True
        self._begin(on_start)

    # What happens to it

    def on_slot(self, now: float) -> None:
        """Something came from the keeper."""
        self._runner.on_slot(now)

    @property
    def use(self) -> Use | None:
        """What it uses, if it runs long enough for that to be known: of the CPU time its runner's earlier jobs are not its."""
        use = self._runner.use
        return None if use is None else use._replace(cpu_s=max(0.0, use.cpu_s - self._cpu_before_s))

    def on_said(self, said: Said, now: float) -> None:
        """The runner said something about this job."""
        match said:
            case Told(percentage, stage, message):
                self._said_last = Progress(percentage=percentage, stage=stage, message=message)
            case Over():
                self._on_process_over(said, now)
            case Done() | Raised() | Declined() if self._runner.is_fresh:
                self._answer = said
            case Done() | Raised() | Declined():
                self._answer = said
                self._on_answer(said, now)

    def on_runner_end(self, event: Ended | KeeperLost, now: float) -> None:
        """The runner died, and all of its tree is gone."""
        self._answer = None
        if isinstance(event, KeeperLost):
            self._over(Ending(intent=self._intent, stuck=not event.gone))
            return
        grew = event.max_rss_bytes > self._peak_before
        self._over(
            self._ending(
                replace(
                    event,
                    wall_s=now - self._began,
                    cpu_s=max(0.0, event.cpu_s - self._cpu_before_s),
                    max_rss_bytes=event.max_rss_bytes if grew else 0,
                )
            )
        )

    @property
    def _progress(self) -> Progress | None:
        return self._said_last

    def _signal(self, *, kill: bool) -> None:
        self._runner.end_job(kill=kill)

    # How it goes

    def _begin(self, on_start: Callable[[], None]) -> None:
        lease, spec = self.lease, self.lease.spec
        order = Give(
            lease=lease.lease,
            id=lease.job,
            type=lease.type,
            params=spec.params,
            attempt=lease.attempt,
            queue=lease.queue,
        )
        try:
            self._output = output = self._runner.blanks.output(
                lease.job, lease.attempt, merge=spec.merge, cap_bytes=self._limits.output_bytes
            )
            on_start()
            self._runner.give(self, encode(order), [output.stdout, output.stderr])
            output.hand_over()
        except Gone:
            self._finish(Finished(None, lost=True))
        except Shortage as shortage:
            self._finish(Finished(None, starved=str(shortage)))
        except OSError as error:
            if want := short_of(error.errno):
                self._finish(Finished(None, starved=want))
                return
            self._finish(
                Finished(Outcome(reason="spawn_error", message=f"it could not be given to its handler: {error}"))
            )

    def _look(self, now: float) -> None:
        """A job that lasts is measured by the keeper, and its output looked at."""
        assert self._output is not None
        if not self._is_watched:
            self._is_watched = True
            self._runner.hold_to(self._limits.memory_bytes, self._limits.cpu_s)
        self._look_at = now + LOOK_EVERY_S
        with contextlib.suppress(OSError):  # it is told at the end
            self._output.show()
        if self._output.over():
            self._look_at = None
            self._end("output_limit", now)

    # How it ended

    def _on_answer(self, said: Done | Raised | Declined, now: float) -> None:
        """Mode resident: the answer is the end."""
        runner = self._runner
        cpu_s = max(0.0, said.cpu_s - self._cpu_before_s)
        peak = said.peak_bytes if said.peak_bytes > self._peak_before else said.rss_bytes
        runner.cpu_s, runner.peak_bytes = said.cpu_s, said.peak_bytes
        self._ended(_FAILED if isinstance(said, Raised) else 0, now, cpu_s, peak)

    def _on_process_over(self, said: Over, now: float) -> None:
        """Mode fresh: the end is the status of the job's own process."""
        self._ended(said.status, now, said.cpu_s, said.peak_bytes, said.leftover)

    def _ended(self, status: int, now: float, cpu_s: float, peak_bytes: int, leftover: int = 0) -> None:
        if isinstance(self._answer, Declined) and status == 0 and self._intent is None:
            self._decline()
        else:
            event = Ended(
                status=status,
                killed_for=None,
                on_request=self._intent is not None,
                wall_s=now - self._began,
                cpu_s=cpu_s,
                peak_memory_bytes=peak_bytes,
                max_rss_bytes=0,
                peak_processes=0,
                leftover_killed=leftover,
                stuck=False,
            )
            self._over(self._ending(event))
        self._runner.job_over(now)

    def _decline(self) -> None:
        if self._output is not None:
            self._output.discard()
        self._finish(Finished(None, declined=True))

    def _ending(self, event: Ended) -> Ending:
        assert self._output is not None
        self._output.is_over()
        ending = ending_of(event, self._output, self._intent, self.lease.type)
        # What was raised is known exactly: nothing is concluded from the text of its traceback.
        return msgspec.structs.replace(ending, stderr_tail=b"") if isinstance(self._answer, Raised) else ending

    def _over(self, ending: Ending) -> None:
        answer = self._answer
        outcome = classify(ending, self._limits)
        if outcome.reason == "exit" and isinstance(answer, Raised) and outcome.exit_code == 1:
            outcome = msgspec.structs.replace(outcome, message=answer.message)
        elif outcome.reason == "ok" and not isinstance(answer, Done):
            why = "its process exited with code 0 before execute() had returned"
            outcome = msgspec.structs.replace(outcome, reason="exit", message=why)
        outcome = with_note(outcome, self._keep_output())
        outcome = msgspec.structs.replace(outcome, enforced=self._equipment.enforced_at(self.level))
        self._finish(Finished(outcome, answer.result if isinstance(answer, Done) else None, self._progress))

    def _keep_output(self) -> str | None:
        """What is to be said of output that is not there."""
        if self._output is None:
            return None
        try:
            self._output.show()
        except OSError as error:
            logger.warning("job {}: its output could not be kept: {}", self.lease.job, error.strerror)
            return f"its output could not be kept: {error.strerror}"
        return lost_output(self._output, self.lease.job)

    def _finish(self, finished: Finished) -> None:
        self._stop_clocks()
        if self._output is not None:
            self._output.close()
        self.finished = finished
