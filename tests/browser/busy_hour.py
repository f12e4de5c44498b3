"""A database whose last hour was a busy one: written by the store itself, at moments that have passed."""

from __future__ import annotations

import math
import pathlib
import random
import time
from typing import Any, NamedTuple

from supervisor import store
from supervisor.core.outcome import Outcome
from tests.store.making import OK, new_job

MINUTE_US = 60_000_000
NAMES = ("thumbnails.js", "sync-ledger.js", "fetch-rates.py", "render-invoice.js", "rotate-keys.sh", "geocode.py")
QUEUES = ("images", "default", "default", "mail", "default", "images")
FAILURES = (
    Outcome(reason="exit", message="exited with code 3", exit_code=3, wall_s=0.4),
    Outcome(reason="timeout", message="ended after 4 s, its time limit: raise it with --timeout", wall_s=4.0),
    Outcome(reason="exit", message="exited with code 1", exit_code=1, wall_s=0.2),
    Outcome(reason="memory_limit", message="used more than 512 MiB of memory", signal="SIGKILL", wall_s=2.1),
)


class Sums(NamedTuple):
    """What happened in it."""

    completed: int
    failed: int
    deepest: int


def write_busy_hour(database: pathlib.Path) -> Sums:
    """Jobs came in waves, waited while there were more than could be run, and some failed; all are over."""
    database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    dice = random.Random(7)
    conn = store.open_writer(str(database), "normal")
    start_us = (time.time_ns() // 1000 // MINUTE_US - 58) * MINUTE_US
    waiting = number = completed = failed = deepest = 0
    try:
        for minute in range(57):
            at_us = start_us + minute * MINUTE_US
            arriving = round(6 + 5 * math.sin(minute / 5) + dice.randrange(4)) if minute < 52 else 0
            _batch(conn, at_us, [_submit(number + n) for n in range(arriving)])
            number, waiting = number + arriving, waiting + arriving
            done = min(waiting, 8)
            # One after the other, as a worker has one job at a time.
            for n in range(done):
                began_us = at_us + n * 5_000_000
                worker = n % 2 + 1
                (lease,) = _batch(conn, began_us, [_claim(worker)])
                outcome = dice.choice(FAILURES) if dice.random() < 0.06 else OK
                wall_us = int((outcome.wall_s or 0.2) * 1_000_000)
                _batch(conn, began_us + wall_us, [_settle(lease, worker, outcome)])
                completed, failed = completed + (outcome is OK), failed + (outcome is not OK)
            waiting -= done
            deepest = max(deepest, waiting)
        assert waiting == 0, "the hour is to end with nothing left"
    finally:
        conn.close()
    return Sums(completed, failed, deepest)


def _batch(conn: store.Writer, now_us: int, calls: list[Any]) -> list[Any]:
    results, _ = store.run_batch(conn, now_us, calls)
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


def _submit(n: int) -> Any:
    name, queue = NAMES[n % len(NAMES)], QUEUES[n % len(QUEUES)]
    return lambda tx: store.submit(tx, new_job(n, name=name, queue=queue))


def _claim(worker: int) -> Any:
    return lambda tx: store.claim(
        tx, types=["node"], queues=None, worker=f"scripts/{worker}", incarnation=f"seeded-{worker}"
    )


def _settle(lease: Any, worker: int, outcome: Outcome) -> Any:
    assert lease is not None
    said = {"isolation": "namespace", "result": None, "progress": None, "dice": 0.5}
    return lambda tx: store.settle(tx, lease=lease.lease, incarnation=f"seeded-{worker}", outcome=outcome, **said)
