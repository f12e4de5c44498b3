"""Removing jobs for good, with their attempts, events and results, and what nothing needs any more.

Invariants: a running job is never removed; a job goes only from the state in which it was chosen; one call changes
a bounded number of rows, so that no batch is held up. Content is counted by `job_contents`: it goes with its last job.
Never touches a file: names of contents that are needed no longer are returned, for after the commit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final, NamedTuple

from supervisor.core.errors import RequestError
from supervisor.core.names import RUNNING
from supervisor.store.batch import Tx
from supervisor.store.dependencies import forget_dependents

ROWS_AT_ONCE: Final = 2000
"""So many rows at most are removed in one call, about 10 ms."""
PAGES_AT_ONCE: Final = 200
PAGES_KEPT_FREE: Final = 1024
"""Free pages that stay in the file for what comes next: giving back and taking again would be work for nothing."""
_OF_A_JOB: Final = 12
"""What a job with one attempt comes to, in rows and entries of indexes."""


class Chosen(NamedTuple):
    """The state in which a job was found, and since when: its end, or (not over yet) its submit."""

    state: str
    moment_us: int


class Removed(NamedTuple):
    """The jobs that are gone, as they were chosen; those that are still to go (the call was full); and the sha256 of
    contents that no job refers to any more."""

    jobs: dict[int, Chosen]
    rest: dict[int, Chosen]
    contents: frozenset[str]


def remove(tx: Tx, jobs: Mapping[int, Chosen], *, owner_uid: int | None = None) -> Removed:
    """Removes each job that still is as it was chosen; call again with `rest`.

    One that is not, or that runs, or (`owner_uid`) is somebody else's, is passed over. What waits for an unfinished
    one is cancelled.
    """
    gone: dict[int, Chosen] = {}
    unneeded: set[str] = set()
    rows_left = ROWS_AT_ONCE
    for place, (job, chosen) in enumerate(jobs.items()):
        if not _may_go(tx, job, chosen, owner_uid):
            continue
        contents = _contents_of(tx, job)
        rows_left -= _trim_events(tx, job, rows_left) + len(contents) + _OF_A_JOB
        if rows_left < 0 and (gone or _has_events(tx, job)):
            return Removed(gone, dict(list(jobs.items())[place:]), frozenset(unneeded))
        forget_dependents(tx, job)
        tx.conn.execute("DELETE FROM jobs WHERE id = ?", (job,))
        gone[job] = chosen
        unneeded |= {sha256 for sha256 in contents if _drop_content(tx, sha256)}
    return Removed(gone, {}, frozenset(unneeded))


def choose(conn: sqlite3.Connection, job: int) -> Chosen:
    """A job that may be removed; raises RequestError `not_found`, or `wrong_state` for one that runs."""
    chosen = _as_it_is(conn, job)
    if chosen is None:
        raise RequestError("not_found", f"there is no job {job}", {"job": job})
    if chosen.state == RUNNING:
        raise RequestError(
            "wrong_state",
            f"job {job} is running: cancel it first, with `workerctl cancel --wait {job}`",
            {"job": job, "state": RUNNING},
        )
    return chosen


def remove_old_events(tx: Tx, before_us: int) -> int:
    """Removes events of workers and of the daemon that are older, the oldest first; returns how many of them went."""
    changed = tx.conn.execute(
        """
        DELETE FROM events WHERE at_us < ? AND id IN
            (SELECT id FROM events INDEXED BY events_job WHERE job IS NULL ORDER BY id LIMIT ?)
        """,
        (before_us, ROWS_AT_ONCE),
    )
    return changed.rowcount


def forget_empty_queues(tx: Tx) -> int:
    """Removes counters that stand at 0: a queue is there as long as it has jobs. Returns how many went."""
    changed = tx.conn.execute(
        """
        DELETE FROM counters WHERE n = 0 AND (state, queue) IN (SELECT state, queue FROM counters WHERE n = 0 LIMIT ?)
        """,
        (ROWS_AT_ONCE,),
    )
    return changed.rowcount


def give_back_pages(tx: Tx) -> int:
    """Lets the file shrink by some of its free pages (at the next checkpoint); returns how many are still to go."""
    surplus = _free_pages(tx) - PAGES_KEPT_FREE
    if surplus <= 0:
        return 0
    for _ in range(min(surplus, PAGES_AT_ONCE)):
        # HAZARD: whatever number it is given, it frees one page a step, and this driver steps it once.
        tx.conn.execute("PRAGMA incremental_vacuum(1)").fetchall()
    left = _free_pages(tx) - PAGES_KEPT_FREE
    # A database that was not made to shrink never does.
    return max(0, left) if left < surplus else 0


def _may_go(tx: Tx, job: int, chosen: Chosen, owner_uid: int | None) -> bool:
    if chosen.state == RUNNING or _as_it_is(tx.conn, job) != chosen:
        return False
    (owner,) = tx.conn.execute("SELECT owner_uid FROM jobs WHERE id = ?", (job,)).fetchone()
    return owner_uid in (None, owner)


def _as_it_is(conn: sqlite3.Connection, job: int) -> Chosen | None:
    row = conn.execute("SELECT state, coalesce(finished_us, submitted_us) FROM jobs WHERE id = ?", (job,)).fetchone()
    return None if row is None else Chosen(*row)


def _trim_events(tx: Tx, job: int, most: int) -> int:
    """A job may have told its progress a million times: its events go first, the oldest ones."""
    if most <= 0:
        return 0
    return tx.conn.execute(
        "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE job = ? ORDER BY id LIMIT ?)", (job, most)
    ).rowcount


def _has_events(tx: Tx, job: int) -> bool:
    return tx.conn.execute("SELECT 1 FROM events WHERE job = ? LIMIT 1", (job,)).fetchone() is not None


def _contents_of(tx: Tx, job: int) -> list[str]:
    return [row[0] for row in tx.conn.execute("SELECT sha256 FROM job_contents WHERE job = ?", (job,)).fetchall()]


def _drop_content(tx: Tx, sha256: str) -> bool:
    """Whether nothing refers to it any more; then it is gone from the database."""
    if tx.conn.execute("SELECT 1 FROM job_contents WHERE sha256 = ? LIMIT 1", (sha256,)).fetchone() is not None:
        return False
    tx.conn.execute("DELETE FROM contents WHERE sha256 = ?", (sha256,))
    return True


def _free_pages(tx: Tx) -> int:
    return int(tx.conn.execute("PRAGMA freelist_count").fetchone()[0])
