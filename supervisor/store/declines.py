"""Jobs that a pool's handler does not want: remembered, so that the pool is not asked again, until all have said no.

Invariant: a decline is no attempt: nothing of it is left but the row. Who takes which type is the caller's to know.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from typing import Final

from supervisor.core.state import Cue
from supervisor.store.batch import Tx
from supervisor.store.running import end_unstarted, find_attempt, stale_lease, take_back

TakersOf = Callable[[str, str], Collection[str]]
"""The names of the pools that take jobs of a type from a queue, or may."""
LOOKED_AT_ONCE: Final = 1000
"""So many declined jobs at most are looked at in one call, so that no batch is held up for long."""


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


def ask_again(tx: Tx, takers_of: TakersOf, after: int = 0) -> int | None:
    """To be called when other pools take jobs than before: one that now all of them have declined is theirs again, and
    the last of them to say no fails it. Looks at jobs with greater ids than `after`; returns the last one if there are
    more.
    """
    jobs = tx.conn.execute(
        """
        SELECT id, type, queue FROM jobs
        WHERE id IN (SELECT DISTINCT job FROM declines WHERE job > ? ORDER BY job LIMIT ?) ORDER BY id
        """,
        (after, LOOKED_AT_ONCE),
    ).fetchall()
    for job, job_type, queue in jobs:
        takers = set(takers_of(job_type, queue))
        if takers and takers <= declined_by(tx.conn, job):
            tx.conn.execute("DELETE FROM declines WHERE job = ?", (job,))
    return jobs[-1][0] if len(jobs) == LOOKED_AT_ONCE else None
