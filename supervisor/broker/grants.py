"""What a pool grants a job: its limits in numbers, network, isolation, and what it gets where it says nothing.

Jobs that ask for the same of the same pool are granted the same, until a setting changes or a worker comes or goes:
that is decided once. Never looks at what a job holds, only at what it asks for.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from supervisor.broker import allowance
from supervisor.broker.admission import Script
from supervisor.broker.leases import Leases
from supervisor.broker.situation import pools_taking, pools_that_may
from supervisor.config import Pool, Settings
from supervisor.core.limits import LIMIT_NAMES, Limits, resolve
from supervisor.core.queues import caps_of
from supervisor.runtime.classify import is_typescript
from supervisor.wire.control import JobRequest
from supervisor.wire.lease import Attach

MOST_KEPT: Final = 1000


class Grant(NamedTuple):
    """What a job may use; `asked` names the limits that its submitter set himself."""

    pool: Pool
    limits: Limits
    asked: tuple[str, ...]
    network: bool
    isolation: str
    max_queued: int | None
    warnings: tuple[str, ...]


class Grants:
    """The grants of the present settings and workers."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self._kept: dict[tuple[object, ...], Grant] = {}
        self._settings: Settings = leases.settings
        self._workers: list[Attach] = []

    def of(self, request: JobRequest, script: Script) -> Grant:
        """What this job is granted; raises RequestError where it asks for what it may not have."""
        self._look_around()
        is_ts = script.main is not None and is_typescript(script.main)
        key = (script.type, is_ts, request.queue, request.limits, request.network, request.isolation)
        grant = self._kept.get(key)
        if grant is None:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            grant = self._kept[key] = self._decide(request, script)
        return grant

    def _look_around(self) -> None:
        """Forgets what was decided for other settings or workers."""
        settings, workers = self._leases.settings, self._leases.attached()
        if settings is not self._settings or workers != self._workers:
            self._settings, self._workers = settings, workers
            self._kept.clear()

    def _decide(self, request: JobRequest, script: Script) -> Grant:
        pool, warnings = _pool_for(self._leases.pools(), script.type, request.queue)
        workers = [worker for worker in self._workers if worker.pool == pool.name]
        allowance.check_interpreter(workers, script)
        allowance.check_handler(request, pool)
        allowance.check_enforceable(workers, request)
        return Grant(
            pool=pool,
            limits=resolve(request.limits, pool.limits, pool.maxima, script.type),
            asked=tuple(name for name in LIMIT_NAMES if getattr(request.limits, name) is not msgspec.UNSET),
            network=allowance.network_of(request, pool),
            isolation=allowance.isolation_of(workers, request, pool),
            max_queued=caps_of(self._settings.queues, request.queue).max_queued,
            warnings=warnings,
        )


def _pool_for(pools: tuple[Pool, ...], job_type: str, queue: str) -> tuple[Pool, tuple[str, ...]]:
    """The first pool that takes the job; its defaults and maxima hold. None now: the first pool's, and a warning."""
    takers = pools_taking(pools, job_type, queue)
    if takers:
        return takers[0], ()
    silent = pools_that_may(pools, job_type, queue)
    if silent:
        return silent[0], (
            f"pool {silent[0].name} has not said yet which types it takes: should none take {job_type!r}, the job waits",
        )
    return pools[0], (f"no pool takes type {job_type!r} from queue {queue!r} now: the job waits until one does",)
