"""What a wall clock that was put back means for what waits: a retry's delay is a duration, not a moment.

Invariant: no retry waits longer than its delay counted from when the step back was noticed, and no queued job is
overtaken by all that come after it. What people scheduled stays at the moment that they named.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from supervisor.store.batch import Tx
from supervisor.store.happenings import record_event

SLACK_US: Final = 1_000_000


def clock_went_back(conn: sqlite3.Connection, now_us: int) -> bool:
    """Whether something has happened later than now."""
    newest = conn.execute("SELECT at_us FROM events ORDER BY id DESC LIMIT 1").fetchone()
    return newest is not None and newest[0] > now_us + SLACK_US


def bring_back(tx: Tx) -> int:
    """Moves jobs that wait in the future by no wish of people; returns how many.

    Retries whose attempt ended in the future wait their delay from now on; queued jobs are due now, in their order.
    To be called once for each step back: the event that it leaves, being the newest, says that this was done.
    """
    queued = tx.conn.execute(
        "UPDATE jobs SET due_us = :now WHERE state = 'queued' AND due_us > :now", {"now": tx.now_us}
    ).rowcount
    retried = tx.conn.execute(
        """
        UPDATE jobs SET due_us = :now + max(0, due_us - ended.finished_us)
        FROM attempts AS ended
        WHERE jobs.state = 'scheduled' AND jobs.attempt > 0 AND ended.job = jobs.id AND ended.number = jobs.attempt
          AND ended.finished_us > :now
        """,
        {"now": tx.now_us},
    ).rowcount
    moved = queued + retried
    record_event(tx, "clock_set_back", {"jobs": moved, "message": f"{moved} jobs that waited for it were moved along"})
    return moved
