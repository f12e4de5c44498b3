"""What a handler is made of: `JobWorker` to derive from, the `Job` and the `Context` that `execute` is given.

Names here are API. Nothing here knows of sockets: what a context tells goes to whoever made it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

LONGEST_WORDS: Final = 1000
"""Characters of a stage and of a message; what is longer is cut."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job. `params` is what its JSON says; `attempt` counts from 1."""

    id: int
    type: str
    params: Any
    attempt: int
    queue: str


class Context:
    """How `execute` speaks to the outside: progress, whether it shall end, a log."""

    def __init__(
        self,
        tell: Callable[[float | None, str | None, str | None], None],
        is_cancelled: Callable[[], bool],
        log: logging.Logger,
    ) -> None:
        self._tell = tell
        self._is_cancelled = is_cancelled
        self.log = log
        """Its lines go to the job's stderr."""

    @property
    def cancelled(self) -> bool:
        """Whether the job shall end: it was cancelled, its time is over, or the daemon cannot wait any longer."""
        return self._is_cancelled()

    def progress(self, percentage: float | None, stage: str | None = None, message: str | None = None) -> None:
        """Says how far the job is: 0 … 100, the name of a stage, a sentence."""
        self._tell(_percentage(percentage), _words(stage), _words(message))


class JobWorker:
    """Derive from it, name the `types` of jobs that it takes, and write `execute`."""

    types: set[str] = set()

    def setup(self) -> None:
        """Once before the first job: models, connections. In mode `fresh`, before each job."""

    def teardown(self) -> None:
        """Once after the last job. Not called for a process that had to be killed."""

    def can_process(self, job: Job) -> bool:
        """False: this pool does not do this job. It goes to another pool's worker, and that is no attempt."""
        return True

    def execute(self, job: Job, context: Context) -> Any:
        """Does the job. What it returns is the result and must be JSON: text, numbers, lists, dicts, None."""
        raise NotImplementedError(f"{type(self).__name__} has no execute()")


def _percentage(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"progress: the percentage is {value!r}; it must be a number from 0 to 100, or None")
    return min(100.0, max(0.0, value))


def _words(value: Any) -> str | None:
    # What cannot be encoded must not cost the job.
    return None if value is None else str(value)[:LONGEST_WORDS].encode(errors="replace").decode()
