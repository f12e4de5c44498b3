"""How an attempt ended: what is known of its end (`Ending`), and what is said of it (`Outcome`)."""

from __future__ import annotations

import os
import signal
from typing import Literal

import msgspec

Intent = Literal["timeout", "cancelled", "output_limit", "interrupted"]
Evidence = Literal["exact", "inferred", "text"]


class LaunchFailure(msgspec.Struct, frozen=True):
    """Why nothing was started. `kind` is `exec` (the program) or `sandbox` (our preparation)."""

    step: str
    errno: int
    message: str
    kind: Literal["sandbox", "exec"]


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known when an attempt is over. Times in seconds, sizes in bytes.

    `status` is the raw wait status of the main process, None if none was read. `intent` is why the worker asked
    for the end, `on_request` whether the main process was still there when the keeper began to obey.
    """

    status: int | None = None
    launch_failure: LaunchFailure | None = None
    killed_for: Literal["memory", "cpu"] | None = None
    intent: Intent | None = None
    on_request: bool = False
    stuck: bool = False
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_memory_bytes: int = 0
    max_rss_bytes: int = 0
    peak_processes: int = 0
    pids_refused: bool = False
    leftover_killed: int = 0
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    output_over: bool = False
    stderr_tail: bytes = b""
    program: str = ""

    @property
    def exit_code(self) -> int | None:
        """What the main process exited with, None if it did not exit."""
        return os.WEXITSTATUS(self.status) if self.status is not None and os.WIFEXITED(self.status) else None

    @property
    def signal(self) -> int | None:
        """The signal that ended the main process, None if none did."""
        return os.WTERMSIG(self.status) if self.status is not None and os.WIFSIGNALED(self.status) else None

    @property
    def ended_by_us(self) -> bool:
        """Whether our asking for the end came before it had ended by itself."""
        return self.on_request or self.status is None

    @property
    def remarkable(self) -> bool:
        """Whether it is anything but exit code 0 of a job that nobody wished to end, or whose output is cut."""
        return (
            self.status != 0
            or self.intent is not None
            or self.killed_for is not None
            or self.launch_failure is not None
            or self.output_over
            or self.stuck
        )

    @property
    def abnormal(self) -> bool:
        """Whether it ended in any way but exit code 0."""
        return self.status is not None and self.status != 0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one attempt ended: one reason, its evidence, what it used, and a sentence for people.

    `truncated`: output was cut to its cap. `artifacts`: how many files were kept. `enforced`: for each limit and kind
    of isolation how it was held, or why not.
    """

    reason: str
    message: str
    evidence: Evidence = "exact"
    exit_code: int | None = None
    signal: str | None = None
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_memory_bytes: int = 0
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    leftover_killed: int = 0
    truncated: bool = False
    artifacts: int = 0
    enforced: dict[str, str] = {}
    retryable: bool = True


def signal_name(number: int) -> str:
    """`SIGKILL` for 9; a number without a name is `SIG64`."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"
