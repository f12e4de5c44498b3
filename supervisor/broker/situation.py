"""What is known of a job when it is to be explained. Values only; they are gathered by the operation."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from supervisor.config import Pool
from supervisor.core.queues import NO_CAPS, QueueCaps
from supervisor.runtime.classify import SCRIPT_TYPES
from supervisor.store import Pause, Standing, Wait
from supervisor.wire.lease import Attach
from supervisor.wire.tree import Member

MOST_COUNTED: Final = 1000
"""More jobs than that are `more than 1000`."""


class InHand(NamedTuple):
    """The worker that has the lease, the job that it does now, and how many are before this one there, that included."""

    worker: str
    runs: int
    before: int


@dataclass(frozen=True)
class Worker:
    """An attached worker: what it said of itself, and the job it has."""

    attach: Attach
    job: int | None


@dataclass(frozen=True, kw_only=True)
class Situation:
    """Everything that is known. `view` is the job's JSON, `workers` the attached ones by name.

    `before` counts the jobs that are before it in its queue, `elsewhere` those in other queues of the same workers;
    both stop at MOST_COUNTED + 1. `closing`: the daemon is shutting down; `held`: it drains. `declined` names the
    pools whose handlers do not want it.
    `waits` are the first of the conditions on other jobs that are not decided yet.
    `in_hand`: a worker has its lease, and has not begun.
    `pause`, `caps` (of the settings' table `caps_table`) and `running` are those of its queue.
    """

    view: dict[str, Any]
    standing: Standing
    pools: tuple[Pool, ...]
    members: tuple[Member, ...] = ()
    workers: Mapping[str, Worker]
    waits: Sequence[Wait] = ()
    before: int = 0
    elsewhere: int = 0
    closing: bool = False
    held: bool = False
    declined: Collection[str] = ()
    pause: Pause | None = None
    caps: QueueCaps = NO_CAPS
    caps_table: str = ""
    running: int = 0
    in_hand: InHand | None = None
    now_us: int

    @property
    def takers(self) -> tuple[Pool, ...]:
        """The pools that take the job, without those that have declined it."""
        takers = pools_taking(self.pools, self.view["type"], self.view["queue"])
        return tuple(pool for pool in takers if pool.name not in self.declined)

    @property
    def pool(self) -> Pool | None:
        """The pool whose maxima hold for it."""
        return next(iter(self.takers or self.pools), None)


def pools_taking(pools: tuple[Pool, ...], job_type: str, queue: str) -> tuple[Pool, ...]:
    """Those that take jobs of this type from this queue."""
    return tuple(pool for pool in pools if job_type in pool.types and (not pool.queues or queue in pool.queues))


def pools_that_may(pools: tuple[Pool, ...], job_type: str, queue: str) -> tuple[Pool, ...]:
    """Those that have not said yet which types they take, and may take this one from this queue."""
    if job_type in SCRIPT_TYPES:
        return ()
    return tuple(pool for pool in pools if not pool.types and (not pool.queues or queue in pool.queues))


def takers_among(pools: tuple[Pool, ...], job_type: str, queue: str) -> list[str]:
    """The names of those that take this type from this queue, or may."""
    found = (*pools_taking(pools, job_type, queue), *pools_that_may(pools, job_type, queue))
    return [pool.name for pool in found]
