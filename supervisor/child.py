"""What a forked child is told by the arbiter. Plain values and fds that live across the fork; no behaviour."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Final

from supervisor.config import Pool, Settings
from supervisor.paths import Paths
from supervisor.scoreboard import Slot

MARK_VARIABLE: Final = "WORKER_SUPERVISOR_MARK"
"""Environment variable of every job process: the state folder's instance. A later supervisor sweeps by it."""


@dataclass(frozen=True)
class BrokerContext:
    """`listener` is bound and listening; `channel` is the broker's end of the socketpair with the arbiter.

    `started_at` is when the supervisor started, in monotonic seconds.
    """

    settings: Settings
    paths: Paths
    listener: socket.socket
    channel: socket.socket
    scoreboard: Slot
    lock_fd: int
    supervisor: str
    started_at: float


@dataclass(frozen=True)
class WorkerContext:
    """`index` counts all worker slots of the daemon from 0; `mark` is the value of MARK_VARIABLE;
    `cgroup` the folder below which jobs get groups of their own, None where nothing was delegated.

    The first SIGTERM means: finish the current job, then exit 0. The second: end it now.
    """

    settings: Settings
    paths: Paths
    pool: Pool
    name: str
    index: int
    incarnation: str
    scoreboard: Slot
    lock_fd: int
    mark: str
    cgroup: str | None
