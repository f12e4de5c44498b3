"""Where in the events a reader begins, and whose they are. The events themselves: `reads.events_after`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

import msgspec

SEARCHED: Final = 20_000
"""One user's newest events are looked for among so many of the newest of all."""
NEWEST: Final = "SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET :count"
NEWEST_OF_JOB: Final = """
    SELECT id FROM events INDEXED BY events_job WHERE job = :job ORDER BY id DESC LIMIT 1 OFFSET :count
"""
NEWEST_OF_OWNER: Final = """
    SELECT e.id FROM events AS e CROSS JOIN jobs AS j ON j.id = e.job
    WHERE e.id > :floor AND j.owner_uid = :owner ORDER BY e.id DESC LIMIT 1 OFFSET :count
"""
OWNERS: Final = "SELECT id, owner_uid FROM jobs WHERE id IN (SELECT value FROM json_each(?))"


def before_newest(
    conn: sqlite3.Connection, count: int, *, last: int, job: int | None = None, owner_uid: int | None = None
) -> int:
    """The cursor after which the newest `count` events come: of one job, of one owner's jobs, or of all.

    `last` is the newest cursor of all.
    """
    if count == 0:
        return last
    floor = 0
    if job is not None:
        row = conn.execute(NEWEST_OF_JOB, {"job": job, "count": count}).fetchone()
    elif owner_uid is None:
        row = conn.execute(NEWEST, {"count": count}).fetchone()
    else:
        floor = max(0, last - SEARCHED)
        row = conn.execute(NEWEST_OF_OWNER, {"owner": owner_uid, "floor": floor, "count": count}).fetchone()
    return floor if row is None else int(row[0])


def owners_of(conn: sqlite3.Connection, jobs: Iterable[int]) -> dict[int, int]:
    """The uid that submitted each of the jobs that exist."""
    return dict(conn.execute(OWNERS, (msgspec.json.encode(list(jobs)).decode(),)).fetchall())
