"""Numbers about the jobs that have ended lately, for a reader connection: throughput, times, causes of failure.

Each question walks a bounded stretch of the index `jobs_finished`, so that it costs the same whatever the table holds.
Deleted jobs, and finished ones that were queued again, are not in it.
"""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

import msgspec

from supervisor.core.names import FINAL_STATES, STATES
from supervisor.core.statistics import Spread, spread

MOST_COUNTED: Final = 1_000_000
TIMES_OF: Final = 1000
FAILURES_OF: Final = 10_000
_FINAL: Final = tuple(state for state in STATES if state in FINAL_STATES)

FINISHED: Final = """
    SELECT count(*) FROM (
        SELECT 1 FROM jobs INDEXED BY jobs_finished WHERE state = :state AND finished_us > :since_us LIMIT :most
    )
"""
TIMES: Final = """
    SELECT max(0, j.started_us - j.due_us) / 1e6,
           coalesce(a.wall_s, max(0, j.finished_us - j.started_us) / 1e6)
    FROM (
        SELECT * FROM (SELECT id, finished_us FROM jobs INDEXED BY jobs_finished
            WHERE state = 'completed' AND finished_us > :since_us ORDER BY finished_us DESC LIMIT :most)
        UNION ALL
        SELECT * FROM (SELECT id, finished_us FROM jobs INDEXED BY jobs_finished
            WHERE state = 'failed' AND finished_us > :since_us ORDER BY finished_us DESC LIMIT :most)
        UNION ALL
        SELECT * FROM (SELECT id, finished_us FROM jobs INDEXED BY jobs_finished
            WHERE state = 'cancelled' AND finished_us > :since_us ORDER BY finished_us DESC LIMIT :most)
        ORDER BY finished_us DESC LIMIT :most
    ) AS newest
    CROSS JOIN jobs AS j ON j.id = newest.id
    LEFT JOIN attempts AS a ON a.job = j.id AND a.number = j.attempt
    WHERE j.started_us IS NOT NULL
"""
FAILURES: Final = """
    SELECT reason, count(*) FROM (
        SELECT reason FROM jobs INDEXED BY jobs_finished
        WHERE state = 'failed' AND finished_us > :since_us ORDER BY finished_us DESC LIMIT :most
    )
    GROUP BY reason ORDER BY 2 DESC, 1
"""
BRIEFS: Final = "SELECT id, name, started_us, owner_uid FROM jobs WHERE id IN (SELECT value FROM json_each(?))"


class Times(NamedTuple):
    """Of how many jobs; from due to the last attempt's start; the last attempt's time by the clock. Seconds."""

    jobs: int
    wait_s: Spread
    run_s: Spread


class Brief(NamedTuple):
    """A job in one line: its name, since when it runs, and whose it is."""

    name: str
    started_us: int | None
    owner_uid: int


def finished_since(conn: sqlite3.Connection, since_us: int) -> dict[str, int]:
    """How many jobs became completed, failed and cancelled after that moment; each is counted to MOST_COUNTED."""
    asked = {"since_us": since_us, "most": MOST_COUNTED}
    return {state: conn.execute(FINISHED, asked | {"state": state}).fetchone()[0] for state in _FINAL}


def times_since(conn: sqlite3.Connection, since_us: int, most: int = TIMES_OF) -> Times:
    """Of the newest `most` jobs that ran and ended after that moment."""
    rows = conn.execute(TIMES, {"since_us": since_us, "most": most}).fetchall()
    return Times(len(rows), spread([row[0] for row in rows]), spread([row[1] for row in rows]))


def failures_since(conn: sqlite3.Connection, since_us: int, most: int = FAILURES_OF) -> dict[str, int]:
    """Of the newest `most` jobs that failed after that moment, how many for which reason, the commonest first."""
    return dict(conn.execute(FAILURES, {"since_us": since_us, "most": most}).fetchall())


def briefs_of(conn: sqlite3.Connection, jobs: list[int]) -> dict[int, Brief]:
    """Those of the jobs that exist."""
    rows = conn.execute(BRIEFS, (msgspec.json.encode(jobs).decode(),)).fetchall()
    return {row[0]: Brief(*row[1:]) for row in rows}
