"""What a slot reports, in order: Prepared, Started, then exactly one of Ended, LaunchFailed, KeeperLost, NotBegun.

A program that waits behind a gate is reported by Gated and Waiting; Started comes once it has passed.

Invariant: an Ended carries a wait status that was really read (or says stuck).
Never: guesses a cause; `killed_for` and `on_request` are the keeper's own intents, or the kernel's own count.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple


@dataclass(frozen=True)
class Prepared:
    """The room is ready. work_fd belongs to the Slot (closed by Slot.close); job_dir as the job sees it; fallbacks:
    aspect -> what holds for this job, where that is less than Holder.enforced says."""

    work_fd: int
    job_dir: str
    fallbacks: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Started:
    """The job's program was executed. pid: as the keeper sees it (inside its pid namespace, if it has one)."""

    pid: int


@dataclass(frozen=True)
class Gated:
    """A program was started that shall wait for its job behind a gate: from now on Slot.open() can be called."""


@dataclass(frozen=True)
class Waiting:
    """It has booted and waits."""


@dataclass(frozen=True)
class NotBegun:
    """It ended before it had taken its job through the gate: of the job nothing was run. status: its wait status."""

    status: int


@dataclass(frozen=True)
class Ended:
    """The job's main process ended and nothing of its tree is left (unless stuck).

    status: raw wait status of the main process (9 if it is stuck itself). killed_for: "memory" or "cpu" if
    the keeper's own kill really hit, or the kernel's for the memory limit of the job's cgroup. on_request: the main process ended after the keeper had begun to obey
    end(). peak_memory_bytes: largest sample of the tree (0 if it ended before the first). peak_processes:
    threads, sampled, and no fewer than were left at the end. leftover_killed: processes that outlived the main
    process. stuck: not empty 5 s after SIGKILL.
    """

    status: int
    killed_for: Literal["memory", "cpu"] | None
    on_request: bool
    wall_s: float
    cpu_s: float
    peak_memory_bytes: int
    max_rss_bytes: int
    peak_processes: int
    leftover_killed: int
    stuck: bool
    pids_refused: bool = False
    charged_peak_bytes: int = 0


@dataclass(frozen=True)
class LaunchFailed:
    """No job ran. kind: "sandbox" (the infrastructure) or "exec" (the program or its cwd is no good)."""

    step: str
    errno: int
    message: str
    kind: Literal["sandbox", "exec"]


@dataclass(frozen=True)
class KeeperLost:
    """The keeper ended without a report. gone: the whole tree is verified gone."""

    reason: str
    gone: bool


class Use(NamedTuple):
    """What a job has used so far and has now, as its keeper measured it last. No event: nothing follows from it."""

    cpu_s: float
    memory_bytes: int


Event = Prepared | Gated | Waiting | Started | Ended | LaunchFailed | KeeperLost | NotBegun
