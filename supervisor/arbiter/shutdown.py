"""The end of the daemon, step by step. Each step has a deadline, and each repeated signal goes one step further.

running -> draining (jobs may finish) -> ending (jobs are ended and go back to the queue) -> killing
        -> recording (every exit becomes durable) -> closing (the database) -> over
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from enum import IntEnum
from typing import Final

from loguru import logger

from supervisor.arbiter.broker import Broker
from supervisor.arbiter.fleet import WorkerFleet
from supervisor.arbiter.loop import Loop, Timer

_AFTER_GRACE_S: Final = 5.0
_RECORD_S: Final = 10.0
_CLOSE_S: Final = 10.0
_KILLED_S: Final = 1.0
_REPEAT_S: Final = 0.25


class Phase(IntEnum):
    """How far the shutdown has come."""

    RUNNING = 0
    DRAINING = 1
    ENDING = 2
    KILLING = 3
    RECORDING = 4
    CLOSING = 5


class Shutdown:
    """Times are those of the settings, in seconds. `last_words` say why the daemon ends if nobody asked it to."""

    def __init__(
        self, loop: Loop, fleet: WorkerFleet, broker: Broker, shutdown_timeout_s: float, kill_grace_s: float
    ) -> None:
        self.phase = Phase.RUNNING
        self.last_words = ""
        self._loop = loop
        self._fleet = fleet
        self._broker = broker
        self._drain_s = shutdown_timeout_s
        self._end_s = kill_grace_s + _AFTER_GRACE_S
        self._exit_status = 0
        self._deadline: Timer | None = None

    def set_times(self, shutdown_timeout_s: float, kill_grace_s: float) -> None:
        """New settings: they hold for each phase that has not begun."""
        self._drain_s = shutdown_timeout_s
        self._end_s = kill_grace_s + _AFTER_GRACE_S

    def signalled(self, name: str) -> None:
        """SIGTERM or SIGINT came: the first stops, the second ends the jobs, the third kills."""
        if self.phase == Phase.RUNNING:
            self.begin(name)
        elif self.phase == Phase.DRAINING:
            self._end_jobs()
        elif self.phase == Phase.ENDING:
            self._kill()

    def begin(self, why: str) -> None:
        """Starts the shutdown; nothing when it has begun."""
        if self.phase != Phase.RUNNING:
            return
        logger.info("stopping ({}): running jobs have {:g} s", why, self._drain_s)
        self._enter(Phase.DRAINING, self._drain_s, self._end_jobs)
        self._fleet.stop_replacing()
        self._broker.drain()
        self._fleet.leave_all()
        self.progress()

    def broker_is_over(self, exit_status: int, sentence: str) -> None:
        """There is no broker any more: done if it was told to close, else nothing can be recorded and all ends."""
        if sentence:
            logger.error("{}; giving up", sentence)
            self._exit_status = exit_status
            self.last_words = sentence if exit_status else ""
        if self.phase < Phase.KILLING:
            self._fleet.stop_replacing()
            self._kill()
        self.progress()

    def progress(self) -> None:
        """To be called when a worker is gone, an exit was acknowledged, or the broker is over."""
        if Phase.RUNNING < self.phase < Phase.RECORDING and self._fleet.is_gone:
            self._enter(Phase.RECORDING, _RECORD_S, self._close)
        if self.phase == Phase.RECORDING and (self._broker.is_over or not self._fleet.unacked):
            self._close()
        if self.phase == Phase.CLOSING and self._broker.is_over:
            self._loop.stop(self._exit_status)

    def _enter(self, phase: Phase, patience_s: float, then: Callable[[], None]) -> None:
        self.phase = phase
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.later(patience_s, then)

    def _end_jobs(self) -> None:
        logger.warning("running jobs are ended now and go back to the queue")
        self._enter(Phase.ENDING, self._end_s, self._kill)
        self._fleet.send(signal.SIGTERM)
        # Two signals that are pending at once reach a process as one: the second is said again.
        self._loop.later(_REPEAT_S, self._repeat)

    def _repeat(self) -> None:
        if self.phase == Phase.ENDING:
            self._fleet.send(signal.SIGTERM)

    def _kill(self) -> None:
        if not self._fleet.is_gone:
            logger.warning("the remaining workers are killed")
        self._enter(Phase.KILLING, self._end_s, self._leave_behind)
        self._fleet.send(signal.SIGKILL)

    def _leave_behind(self) -> None:
        logger.error("some workers cannot be killed; they keep the state folder's lock until they are gone")
        self._enter(Phase.RECORDING, _RECORD_S, self._close)
        self.progress()

    def _close(self) -> None:
        if self._fleet.unacked and not self._broker.is_over:
            logger.error("the broker did not record the exits of {}", ", ".join(self._fleet.unacked))
        self._enter(Phase.CLOSING, _CLOSE_S, self._kill_broker)
        self._broker.close_down()
        if self._broker.is_over:
            self._loop.stop(self._exit_status)

    def _kill_broker(self) -> None:
        logger.error("the broker did not close within {:g} s: it is killed", _CLOSE_S)
        self._broker.kill()
        self._loop.later(_KILLED_S, lambda: self._loop.stop(self._exit_status))
