"""An attempt that goes on until it is told to end: why, with how much grace, and when its keeper is not believed any more.

Invariant: the first intent stands, and is written down before the signal; a flood of output costs it the rest of its
grace. Never knows how a signal gets to the job, nor how the job ended.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Final

from supervisor.core.job import Progress
from supervisor.core.outcome import Intent
from supervisor.sandbox import Use
from supervisor.wire.lease import Lease
from supervisor.worker.finished import Finished

LOOK_EVERY_S: Final = 0.05
"""How often the output of a job is looked at."""
PROGRESS_EVERY_S: Final = 0.2
KILLED_WITHIN_S: Final = 10.0


class Attempt(ABC):
    """The attempt of one lease. `finished` is set when it is over and its tree is verified gone.

    `silent` says that its keeper does not do what it was told: the holder above it must be ended.
    """

    def __init__(self, lease: Lease, level: str, kill_grace_s: float) -> None:
        self.lease = lease
        self.level = level
        self.finished: Finished | None = None
        self.silent = False
        self._kill_grace_s = kill_grace_s
        self._limits = lease.spec.limits
        self._intent: Intent | None = None
        self._started = False
        self._deadline: float | None = None
        self._kill_at: float | None = None
        self._look_at: float | None = None
        self._silent_at: float | None = None
        self._progress_told: Progress | None = None
        self._progress_at = 0.0

    # What the kinds of attempts have of their own

    @abstractmethod
    def on_slot(self, now: float) -> None:
        """Something came from the keeper."""

    @property
    @abstractmethod
    def use(self) -> Use | None:
        """What it uses, if it runs long enough for that to be known."""

    @property
    @abstractmethod
    def _progress(self) -> Progress | None:
        """The newest that the job said."""

    @abstractmethod
    def _signal(self, *, kill: bool) -> None:
        """Asks the whole tree to end, or kills it."""

    @abstractmethod
    def _look(self, now: float) -> None:
        """It is time to look at the output."""

    # What happens to it

    def cancel(self, now: float) -> None:
        """Its job was cancelled."""
        self._end("cancelled", now)

    def interrupt(self, now: float) -> None:
        """The supervisor cannot wait for it any longer."""
        self._end("interrupted", now)

    def on_time(self, now: float) -> None:
        """Does what is due at `now`."""
        if self._deadline is not None and now >= self._deadline:
            self._end("timeout", now)
        if self._kill_at is not None and now >= self._kill_at:
            self._kill(now)
        if self._silent_at is not None and now >= self._silent_at:
            self._silent_at = None
            self.silent = True
        if self._look_at is not None and now >= self._look_at:
            self._look(now)

    def next_time(self) -> float | None:
        """When `on_time` is wanted, in monotonic seconds."""
        is_untold = self._progress != self._progress_told and self._progress_at > time.monotonic()
        tell_at = self._progress_at if is_untold else None
        wanted = (self._deadline, self._kill_at, self._look_at, self._silent_at, tell_at)
        return min((at for at in wanted if at is not None), default=None)

    def new_progress(self, now: float) -> Progress | None:
        """Progress worth telling now: at most five times a second."""
        newest = self._progress
        if newest == self._progress_told or now < self._progress_at:
            return None
        self._progress_told = newest
        self._progress_at = now + PROGRESS_EVERY_S
        return newest

    # How it is ended

    def _end(self, intent: Intent, now: float) -> None:
        self._deadline = None
        if self.finished is not None:
            return
        is_first = self._intent is None
        self._intent = self._intent or intent
        if not self._started:
            return
        if intent == "output_limit":
            self._kill(now)
        elif is_first:
            self._signal(kill=False)
            self._kill_at = now + self._kill_grace_s

    def _kill(self, now: float) -> None:
        self._kill_at = None
        self._silent_at = now + KILLED_WITHIN_S
        self._signal(kill=True)

    def _stop_clocks(self) -> None:
        self._deadline = self._kill_at = self._look_at = self._silent_at = None
