"""What every operation may use: the parts of the broker, in one place. It decides nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from supervisor.broker.backups import Backups
from supervisor.broker.check import Checker
from supervisor.broker.commit import Committer
from supervisor.broker.feed import Feed
from supervisor.broker.fleet import FleetView
from supervisor.broker.grants import Grants
from supervisor.broker.holds import Holds
from supervisor.broker.leases import Leases
from supervisor.broker.removal import Remover
from supervisor.broker.retention import Rounds
from supervisor.config import Settings
from supervisor.core.errors import RequestError
from supervisor.paths import Paths
from supervisor.scoreboard import Scoreboard
from supervisor.spool import Spool
from supervisor.store import Reader, owner_of
from supervisor.wire.tree import ArbiterRequest


@dataclass(frozen=True)
class Caller:
    """Who asks, from the kernel: fixed when the connection was made. `connection` numbers it.

    `bulk` is held while many jobs at once are checked: those of the next such request of the connection come behind them.
    """

    uid: int
    gid: int
    pid: int
    connection: int
    is_admin: bool
    bulk: asyncio.Lock = field(default_factory=asyncio.Lock, compare=False)


@dataclass
class Service:
    """The parts of the broker. `reader` is a read-only connection, for the loop's thread alone."""

    settings: Settings
    paths: Paths
    reader: Reader
    committer: Committer
    feed: Feed
    leases: Leases
    fleet: FleetView
    spool: Spool
    checker: Checker
    request_stop: Callable[[], None]
    started_at: float
    ask: Callable[[ArbiterRequest], Awaitable[dict[str, Any]]]
    """The arbiter's answer to a request, or its refusal as a RequestError."""
    say_attached: Callable[[str], None]
    holds: Holds
    remover: Remover
    rounds: Rounds
    backups: Backups
    grants: Grants
    board: Scoreboard | None = None

    @property
    def uptime_s(self) -> float:
        """Seconds since the supervisor started, on the monotonic clock."""
        return time.monotonic() - self.started_at

    def check_job(self, caller: Caller, job: int) -> None:
        """Raises `not_found` unless the job exists and the caller may act on it; the two cannot be told apart."""
        owner = owner_of(self.reader, job)
        if owner is None or not (caller.is_admin or owner == caller.uid):
            raise no_such_job(job)


def no_such_job(job: int) -> RequestError:
    """The answer for a job that is not there, or not the caller's."""
    return RequestError("not_found", f"there is no job {job}", {"job": job})
