"""Looking for jobs to remove, and for what of them lies on the disk, page by page; the record of what was
removed from there.

Invariant: each question looks at a bounded number of rows, so that whoever asks may do something else in between.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

import msgspec

from supervisor.store.batch import Tx

PAGE: Final = 500


class Candidate(NamedTuple):
    """A job that may be chosen. `moment_us` is when it ended, or (not over yet) when it was submitted."""

    job: int
    queue: str
    owner_uid: int
    moment_us: int


class Finished(NamedTuple):
    """A job that is over, and when it ended. In this order: the earliest first."""

    finished_us: int
    job: int


def candidates(conn: sqlite3.Connection, state: str, after: int, limit: int = PAGE) -> list[Candidate]:
    """Jobs in this state with a greater id than `after`, smallest first."""
    rows = conn.execute(
        """
        SELECT id, queue, owner_uid, coalesce(finished_us, submitted_us) FROM jobs INDEXED BY jobs_state
        WHERE state = ? AND id > ? ORDER BY id LIMIT ?
        """,
        (state, after, limit),
    ).fetchall()
    return [Candidate(*row) for row in rows]


def finished_jobs(
    conn: sqlite3.Connection, state: str, after: Finished | None = None, limit: int = PAGE
) -> list[Finished]:
    """Jobs in this final state that come after `after`, those that ended first in front."""
    moment_us, job = after or (-1, 0)
    rows = conn.execute(
        """
        SELECT finished_us, id FROM jobs INDEXED BY jobs_finished
        WHERE state = ? AND finished_us IS NOT NULL AND (finished_us, id) > (?, ?) ORDER BY finished_us, id LIMIT ?
        """,
        (state, moment_us, job, limit),
    ).fetchall()
    return [Finished(*row) for row in rows]


def jobs_that_exist(conn: sqlite3.Connection, jobs: Iterable[int]) -> set[int]:
    """Those of them that are still there, in whatever state."""
    wanted = msgspec.json.encode(list(jobs)).decode()
    rows = conn.execute("SELECT id FROM jobs WHERE id IN (SELECT value FROM json_each(?))", (wanted,)).fetchall()
    return {row[0] for row in rows}


def contents_needed(conn: sqlite3.Connection, contents: Collection[str]) -> set[str]:
    """Those of these sha256 that some job refers to."""
    wanted = msgspec.json.encode(list(contents)).decode()
    rows = conn.execute(
        """
        SELECT value FROM json_each(?) AS asked WHERE EXISTS (SELECT 1 FROM job_contents WHERE sha256 = asked.value)
        """,
        (wanted,),
    ).fetchall()
    return {row[0] for row in rows}


def outputs_removed(conn: sqlite3.Connection, job: int, attempt: int) -> bool:
    """Whether retention has removed what this attempt wrote."""
    row = conn.execute(
        "SELECT 1 FROM events WHERE job = ? AND kind = 'outputs_removed' AND attempt >= ? LIMIT 1", (job, attempt)
    ).fetchone()
    return row is not None


def note_outputs_removed(tx: Tx, job: int, data: dict[str, Any]) -> bool:
    """Records that what the attempts of a job wrote is removed; False for one that is not over, or has none."""
    row = tx.conn.execute(
        "SELECT state, attempt FROM jobs WHERE id = ? AND finished_us IS NOT NULL AND attempt > 0", (job,)
    ).fetchone()
    if row is None:
        return False
    tx.emit(job, "outputs_removed", row[0], row[1], data)
    return True
