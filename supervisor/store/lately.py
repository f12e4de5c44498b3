"""The last hour, minute by minute, told by the events: how many jobs waited, and how many ended.

Every move of a job is an event, so that what waited at a past moment is what waits now, less what has changed since.
Nothing is sampled and nothing is kept: a broker that has just started tells the same. Events are walked from the newest
back, and only so many; of minutes before these nothing is known. Deleted jobs are in none of it.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import Final, NamedTuple

from supervisor.core.names import CANCELLED, COMPLETED, FAILED

MINUTE_US: Final = 60_000_000
MINUTES: Final = 60
MOST_EVENTS: Final = 200_000
PIECE: Final = 20_000

PIECE_OF_EVENTS: Final = """
    SELECT at_us / :minute_us AS minute,
           sum(CASE
               WHEN state = 'queued' AND kind IN ('submitted', 'due', 'retried', 'released', 'retrying') THEN 1
               WHEN kind = 'running' THEN -1
               WHEN kind = 'cancelled' AND attempt IS NULL THEN -('queued' = (
                   SELECT earlier.state FROM events AS earlier INDEXED BY events_job
                   WHERE earlier.job = newest.job AND earlier.id < newest.id ORDER BY earlier.id DESC LIMIT 1))
               ELSE 0 END),
           sum(kind = 'completed'), sum(kind = 'failed'), sum(kind = 'cancelled'), min(id), count(*)
    FROM (
        SELECT id, job, at_us, kind, state, attempt FROM events WHERE id < :before ORDER BY id DESC LIMIT :piece
    ) AS newest
    GROUP BY minute
"""


class Minute(NamedTuple):
    """One minute by the clock: how many jobs were queued at its end, and how many ended in it, by state."""

    began_us: int
    queued: int
    completed: int
    failed: int
    cancelled: int


def minutes_until(conn: sqlite3.Connection, now_us: int, queued: int, most_events: int = MOST_EVENTS) -> list[Minute]:
    """The last minutes, oldest first, the present one last; at most 60. `queued` of them are queued now."""
    last = now_us // MINUTE_US
    first = last - MINUTES + 1
    arrived: Counter[int] = Counter()
    ended: Counter[tuple[int, str]] = Counter()
    before, left = 2**63 - 1, most_events
    while left > 0:
        asked = {"minute_us": MINUTE_US, "before": before, "piece": min(PIECE, left)}
        rows = conn.execute(PIECE_OF_EVENTS, asked).fetchall()
        for minute, more, completed, failed, cancelled, _, _ in rows:
            arrived[minute] += more or 0
            ended.update({(minute, COMPLETED): completed, (minute, FAILED): failed, (minute, CANCELLED): cancelled})
        walked = sum(row[6] for row in rows)
        if walked < asked["piece"] or min(row[0] for row in rows) < first:
            break
        before, left = min(row[5] for row in rows), left - walked
    else:
        # Of the oldest minute that was reached only a part is known.
        first = max(first, min(arrived, default=last) + 1)
    minutes = []
    for minute in range(last, first - 1, -1):
        counted = (ended[minute, state] for state in (COMPLETED, FAILED, CANCELLED))
        minutes.append(Minute(minute * MINUTE_US, max(0, queued), *counted))
        queued -= arrived[minute]
    return minutes[::-1]
