"""What a forked child is told by the arbiter. Plain values and fds that live across the fork; no behaviour."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Final

import msgspec

from supervisor.config import Pool, Settings
from supervisor.paths import Paths
from supervisor.scoreboard import Scoreboard, Slot

MARK_VARIABLE: Final = "WORKER_SUPERVISOR_MARK"
"""Environment variable of every job process: the state folder's instance. A later supervisor sweeps by it."""
EXIT_RECYCLED: Final = 4
"""A worker's exit status, between two leases: it makes room for a fresh one. No death; replaced at once.

Why is what it said last to its scoreboard, beginning with `recycle: `.
"""


@dataclass(frozen=True)
class Upgraded:
    """The supervisor has gone over to new code `number` times, the last time from the version `before`."""

    number: int
    before: str


@dataclass(frozen=True)
class BrokerContext:
    """`listener` is bound and listening; `channel` is the broker's end of the socketpair with the arbiter.

    `started_at` is when the supervisor started, in monotonic seconds; `restarted`: another broker was ready before.
    `board` has every child's slot, to be read: a worker's is 1 + its index. `wants_vitals`: the supervisor wants to
    hear how many jobs there are.
    """

    settings: Settings
    paths: Paths
    listener: socket.socket
    channel: socket.socket
    scoreboard: Slot
    lock_fd: int
    supervisor: str
    started_at: float
    board: Scoreboard | None = None
    restarted: bool = False
    wants_vitals: bool = False
    upgrade: Upgraded | None = None


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


class GatewayOrders(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway is told, as JSON on its standard input: it is a program of its own, whose memory is new.

    `listeners` and `scoreboard` are descriptors that it inherits; its place on the scoreboard is `place`. `parent` is
    the arbiter's pid, `socket` the control socket.
    """

    settings: Settings
    state_dir: str
    socket: str
    listeners: tuple[int, ...]
    scoreboard: int | None
    place: int
    parent: int
