"""Jobs that a pool's handler does not want: remembered, so that the pool is not asked again, until all have said no.

Invariant: a decline is no attempt: nothing of it is left but the row. Who takes which type is the caller's to know.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection

from supervisor.core.state import Cue
from supervisor.store.batch import Tx
from supervisor.store.running import end_unstarted, find_attempt, stale_lease, take_back

TakersOf = Callable[[str, str], Collection[str]]
"""The names of the pools that take jobs of a type from a queue."""


def declined_by(conn: sqlite3.Connection, job: int) -> set[str]:
    """The pools whose handlers do not want the job."""
    return {row[0] for row in conn.execute("SELECT pool FROM declines WHERE job = ?", (job,)).fetchall()}


def decline(tx: Tx, *, lease: int, incarnation: str, pool: str, takers_of: TakersOf) -> int:
    """Gives back a lease that `pool` does not want; returns its job, which fails if now every pool has declined it.

    Raises RequestError `stale_lease`.
    """
    attempt = find_attempt(tx, lease)
    if attempt is None or attempt.incarnation != incarnation or attempt.state == "ended":
        raise stale_lease(lease)
    tx.conn.execute("INSERT OR IGNORE INTO declines (job, pool) VALUES (?, ?)", (attempt.job, pool))
    job_type, queue = tx.conn.execute("SELECT type, queue FROM jobs WHERE id = ?", (attempt.job,)).fetchone()
    declined = declined_by(tx.conn, attempt.job)
    if attempt.cancel_requested or not set(takers_of(job_type, queue)) <= declined:
        take_back(tx, attempt, f"pool {pool} declined it")
    else:
        message = f"every pool that takes type {job_type} declined it: {', '.join(sorted(declined))}"
        end_unstarted(tx, attempt, Cue.FAILED, "rejected", message)
    return attempt.job
