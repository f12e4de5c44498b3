"""stats: how much there is, how fast it goes, and why it fails. Bounded questions, asked in a thread of their own."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from contextlib import closing
from typing import Any, Final

from supervisor.broker.commit import wall_us
from supervisor.broker.ops.status import state_of
from supervisor.broker.queue_gate import shown_of
from supervisor.broker.service import Caller, Service
from supervisor.core.names import CANCELLED, COMPLETED, FAILED, QUEUED
from supervisor.core.statistics import Spread
from supervisor.store import (
    Reader,
    Tally,
    counts,
    failures_since,
    finished_since,
    minutes_until,
    open_reader,
    queue_counts,
    rfc3339,
    tallies,
    times_since,
)
from supervisor.wire.control import Stats

MINUTE_US: Final = 60_000_000
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US
_ENDS: Final = (COMPLETED, FAILED, CANCELLED)
ONE_AT_A_TIME: Final = asyncio.Lock()
"""Impatient callers must not take all the threads that others need."""


async def stats(service: Service, _: Caller, __: Stats) -> dict[str, Any]:
    """By state, queue and pool; finished of late, their times, and the causes of failure."""
    seats = service.leases.seats()
    states = [(member.pool, state_of(member, seats.get(member.worker))) for member in service.fleet.members]
    async with ONE_AT_A_TIME:
        return await asyncio.to_thread(_read, service.paths.database, wall_us(), states)


def _read(database: str, now_us: int, states: list[tuple[str, str]]) -> dict[str, Any]:
    with closing(open_reader(database)) as reader:
        return {
            "at": rfc3339(now_us),
            "jobs": counts(reader),
            "queues": _queues(queue_counts(reader)),
            "pools": _pools(states, tallies(reader)),
            "finished": {
                "last_minute": finished_since(reader, now_us - MINUTE_US),
                "last_hour": finished_since(reader, now_us - HOUR_US),
            },
            "minutes": _minutes(reader, now_us),
            "times": _times(reader, now_us),
            "failures": [
                {"reason": reason, "jobs": jobs} for reason, jobs in failures_since(reader, now_us - DAY_US).items()
            ],
        }


def _queues(jobs: dict[str, dict[str, int]]) -> list[dict[str, Any]]:
    return [{"queue": queue, "jobs": jobs[queue]} for queue in shown_of(jobs, jobs)]


def _minutes(reader: Reader, now_us: int) -> list[dict[str, Any]]:
    return [
        {"at": rfc3339(minute.began_us)} | {name: getattr(minute, name) for name in ("queued", *_ENDS)}
        for minute in minutes_until(reader, now_us, counts(reader)[QUEUED])
    ]


def _pools(states: list[tuple[str, str]], known: dict[str, Tally]) -> list[dict[str, Any]]:
    workers: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for pool, state in states:
        workers[pool][state] += 1
    pools = dict.fromkeys([*workers, *sorted(tally.pool for tally in known.values())])
    return [_pool(pool, workers[pool], [tally for tally in known.values() if tally.pool == pool]) for pool in pools]


def _pool(pool: str, workers: Counter[str], slots: list[Tally]) -> dict[str, Any]:
    return {
        "pool": pool,
        "workers": dict(workers),
        "done": sum(slot.done for slot in slots),
        "failed": sum(slot.failed for slot in slots),
        "busy_s": round(sum(slot.busy_s for slot in slots), 3),
        "restarts": sum(slot.restarts for slot in slots),
    }


def _times(reader: Reader, now_us: int) -> dict[str, Any]:
    times = times_since(reader, now_us - HOUR_US)
    return {"of_jobs": times.jobs, "wait_s": _spread(times.wait_s), "run_s": _spread(times.run_s)}


def _spread(spread: Spread) -> dict[str, float | None]:
    return {
        "p50": _milli(spread.p50),
        "p95": _milli(spread.p95),
        "max": _milli(spread.greatest),
    }


def _milli(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
