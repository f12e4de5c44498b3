"""Jobs that wait for others: what they wait for is kept as rows, and decided when the other job is final.

Invariant: a row is there exactly as long as it is undecided, and a job's `waits` counts its rows. A condition is
decided in the transaction in which its job becomes final; if more than `DECIDED_AT_ONCE` hang on that, the rest
follows in the next transactions (`decide_rest`), always before that job can be queued again or deleted.
Never recurses: a chain is walked, however long it is.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from supervisor.core.dependency import After, is_met, never
from supervisor.core.errors import RequestError
from supervisor.core.state import Cue, JobState, step
from supervisor.store.batch import Tx

DECIDED_AT_ONCE: Final = 1000
"""So many conditions at most are decided in one go, so that no batch is held up for long."""
SHOWN_WAITS: Final = 8


class Wait(NamedTuple):
    """A condition that is not decided yet: the other job, where that one is now, and how it must end."""

    job: int
    state: str
    condition: str


class Conditions(NamedTuple):
    """What a new job's conditions come to: those to wait for, and why it can never run, None if it may."""

    undecided: tuple[tuple[int, str], ...] = ()
    never: str | None = None


class _Row(NamedTuple):
    job: int
    condition: str
    waits: int
    later_us: int | None


def conditions_of(tx: Tx, after: Sequence[After], *, owner_uid: int | None) -> Conditions:
    """Looks at each job named by `after` now. `owner_uid` None may wait for anybody's jobs.

    Raises RequestError `not_found` (no such job, or not his) or `bad_request` (one job under two conditions).
    """
    named: dict[int, str] = {}
    undecided = []
    impossible = None
    for one in after:
        job, state, reason = _looked_up(tx, one, owner_uid)
        if job in named:
            if named[job] != one.condition:
                raise RequestError("bad_request", f"`after`: job {job} is there twice, under different conditions")
            continue
        named[job] = one.condition
        met = is_met(one.condition, state)
        if met is None:
            undecided.append((job, one.condition))
        elif not met:
            impossible = impossible or never(one.condition, job, state, reason)
    return Conditions(tuple(undecided), impossible)


def begin_waiting(tx: Tx, job: int, undecided: Iterable[tuple[int, str]]) -> None:
    """Keeps what a new job, stored with as many `waits`, waits for."""
    for on_job, condition in undecided:
        tx.conn.execute("INSERT INTO dependencies (job, on_job, condition) VALUES (?, ?, ?)", (job, on_job, condition))


def stop_waiting(tx: Tx, job: int) -> None:
    """Drops what a job waits for that will not run: the caller ends it, and sets its `waits` to 0."""
    tx.conn.execute("DELETE FROM dependencies WHERE job = ?", (job,))


def decide_dependents(tx: Tx, job: int, state: str, reason: str | None) -> None:
    """Decides what waits for a job that has just become final, and what waits for those that this cancels."""
    _walk(tx, deque([job]), {job: (state, reason)}, DECIDED_AT_ONCE)


def decide_rest(tx: Tx, jobs: Iterable[int]) -> None:
    """Goes on where `decide_dependents` stopped: with what still waits for these jobs, as far as they are final."""
    _walk(tx, deque(jobs), {}, DECIDED_AT_ONCE)


def decide_all_of(tx: Tx, job: int) -> None:
    """Decides everything that waits for this final job itself, since it is final no longer after this."""
    cancelled = _decide_level(tx, job, *_ending_of(tx, job), -1)
    _walk(tx, deque(cancelled), {}, DECIDED_AT_ONCE)


def forget_dependents(tx: Tx, job: int) -> None:
    """Must be called before a job is deleted: nothing waits for it, and it waits for nothing, after this.

    What waited for a job that is deleted unfinished is cancelled, and what waited for that as well.
    """
    decide_all_of(tx, job)
    stop_waiting(tx, job)


def cancel_for_good(tx: Tx, job: int, message: str) -> None:
    """Ends a waiting job whose conditions can never be met."""
    stop_waiting(tx, job)
    state = step(JobState.SCHEDULED, Cue.CANCELLED)
    tx.change_one(
        """
        UPDATE jobs SET state = ?, waits = 0, finished_us = ?, reason = 'dependency', message = ?, exit_code = NULL,
                        signal = NULL
        WHERE id = ? AND state = 'scheduled'
        """,
        (state, tx.now_us, message, job),
    )
    tx.emit(job, Cue.CANCELLED, state, None, {"reason": "dependency", "message": message})


def jobs_with_undecided(conn: sqlite3.Connection, among: Iterable[int] | None = None) -> list[int]:
    """The final jobs that something still waits for: `among` these, or (None) of all, which looks at every row."""
    if among is None:
        rows = conn.execute(
            """
            SELECT DISTINCT d.on_job FROM dependencies AS d JOIN jobs AS j ON j.id = d.on_job
            WHERE j.finished_us IS NOT NULL
            """
        ).fetchall()
    else:
        rows = conn.execute(
            """
            SELECT j.id FROM jobs AS j WHERE j.id IN (SELECT value FROM json_each(?)) AND j.finished_us IS NOT NULL
              AND EXISTS (SELECT 1 FROM dependencies WHERE on_job = j.id)
            """,
            (msgspec.json.encode(list(among)).decode(),),
        ).fetchall()
    return [row[0] for row in rows]


def waits_of(conn: sqlite3.Connection, job: int) -> list[Wait]:
    """What the job waits for, smallest ids first, at most 8 of them."""
    rows = conn.execute(
        """
        SELECT d.on_job, j.state, d.condition FROM dependencies AS d JOIN jobs AS j ON j.id = d.on_job
        WHERE d.job = ? ORDER BY d.on_job LIMIT ?
        """,
        (job, SHOWN_WAITS),
    ).fetchall()
    return [Wait(*row) for row in rows]


def _walk(tx: Tx, ended: deque[int], endings: dict[int, tuple[str | None, str | None]], budget: int) -> None:
    """From job to job, each with all that waits for it, until nothing is left or `budget` conditions are decided."""
    before = len(tx.events)
    while ended:
        left = budget - (len(tx.events) - before)
        if left <= 0:
            return
        job = ended.popleft()
        state, reason = endings.get(job) or _ending_of(tx, job)
        if is_met("any", state):
            ended.extend(_decide_level(tx, job, state, reason, left))


def _decide_level(tx: Tx, job: int, state: str | None, reason: str | None, most: int) -> list[int]:
    """Decides (at most so many, -1: all) conditions on one job; returns the jobs that are cancelled by that."""
    cancelled = []
    rows = tx.conn.execute(
        """
        SELECT d.job, d.condition, j.waits, CASE WHEN j.due_us > j.submitted_us THEN j.due_us END FROM dependencies AS d JOIN jobs AS j ON j.id = d.job
        WHERE d.on_job = ? ORDER BY d.job LIMIT ?
        """,
        (job, most),
    ).fetchall()
    for waiter in map(_Row._make, rows):
        if is_met(waiter.condition, state):
            _met(tx, waiter, job, state)
        else:
            cancel_for_good(tx, waiter.job, never(waiter.condition, job, state, reason))
            cancelled.append(waiter.job)
    return cancelled


def _met(tx: Tx, waiter: _Row, on_job: int, on_state: str | None) -> None:
    left = waiter.waits - 1
    # One that was not submitted for later is due whatever the clock says: it may have been set back.
    is_due = left == 0 and (waiter.later_us is None or waiter.later_us <= tx.now_us)
    state = step(JobState.SCHEDULED, Cue.DUE) if is_due else JobState.SCHEDULED
    tx.conn.execute("DELETE FROM dependencies WHERE job = ? AND on_job = ?", (waiter.job, on_job))
    tx.change_one(
        "UPDATE jobs SET state = ?, waits = ? WHERE id = ? AND state = 'scheduled' AND waits = ?",
        (state, left, waiter.job, waiter.waits),
    )
    data = {"on_job": on_job, "on_state": on_state, "waits": left}
    tx.emit(waiter.job, Cue.DUE if is_due else "met", state, None, data)


def _ending_of(tx: Tx, job: int) -> tuple[str | None, str | None]:
    """State and reason of a job; (None, None) for one that is not final."""
    row = tx.conn.execute("SELECT state, reason FROM jobs WHERE id = ? AND finished_us IS NOT NULL", (job,)).fetchone()
    return (None, None) if row is None else (row[0], row[1])


def _looked_up(tx: Tx, after: After, owner_uid: int | None) -> tuple[int, str, str | None]:
    if (after.job is None) == (after.request_id is None):
        raise RequestError("bad_request", "`after`: each names its job either by `job` or by `request_id`")
    row = (
        tx.conn.execute("SELECT id, state, reason, owner_uid FROM jobs WHERE id = ?", (after.job,))
        if after.job is not None
        else tx.conn.execute("SELECT id, state, reason, owner_uid FROM jobs WHERE request_id = ?", (after.request_id,))
    ).fetchone()
    if row is None or owner_uid not in (None, row[3]):
        named = f"job {after.job}" if after.job is not None else f"job of the request {after.request_id}"
        raise RequestError("not_found", f"`after`: there is no {named}", {"job": after.job})
    return row[0], row[1], row[2]
