"""What clients and time do to a job: cancel, retry, due, progress. What workers do to it is in `leases`.

Invariant: a job moves only from the state that this very transaction has read, by `core.state.step`.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from supervisor.core.errors import RequestError
from supervisor.core.job import Progress
from supervisor.core.state import FINAL, Cue, JobState, step
from supervisor.store.batch import Tx
from supervisor.store.dependencies import decide_all_of, decide_dependents, stop_waiting
from supervisor.store.running import Attempt, find_attempt, stale_lease
from supervisor.store.unique import holder_of, key_taken

DUE_AT_ONCE: Final = 1000
"""So many jobs at most become due in one call, so that no batch is held up for long."""

DUE_BY: Final = """
    SELECT id FROM jobs INDEXED BY jobs_due WHERE state = 'scheduled' AND waits = 0 AND due_us <= ? ORDER BY due_us LIMIT ?
"""

_encode: Final = msgspec.json.Encoder().encode


class CancelResult(NamedTuple):
    """The job's state after a cancel; for a running one also whom to tell."""

    state: str
    lease: int | None
    incarnation: str | None


class _Job(NamedTuple):
    state: JobState
    attempt: int
    lease: int | None
    cancel_requested: int


def cancel(tx: Tx, job: int, *, by_uid: int, reason: str | None) -> CancelResult:
    """Cancels a waiting job now; a running one is marked, and cancelled whatever its attempt comes to.

    Again while it runs is ok and changes nothing. Raises RequestError `not_found` or `wrong_state` (already final).
    """
    found = _find(tx, job)
    if found.state in FINAL:
        raise _wrong_state(job, found.state, f"job {job} is already {found.state}")
    if found.state is JobState.RUNNING:
        return _cancel_running(tx, job, found, by_uid, reason)
    return _cancel_waiting(tx, job, found, by_uid, reason)


def _cancel_waiting(tx: Tx, job: int, found: _Job, by_uid: int, reason: str | None) -> CancelResult:
    state = step(found.state, Cue.CANCELLED)
    message = "cancelled before it ran" if found.attempt == 0 else "cancelled before it ran again"
    if reason:
        message = f"{message}: {reason}"
    stop_waiting(tx, job)
    tx.change_one(
        """
        UPDATE jobs SET state = ?, waits = 0, finished_us = ?, cancel_requested = 1, cancel_reason = ?,
                        cancelled_by = ?, reason = 'cancelled', message = ?, exit_code = NULL, signal = NULL
        WHERE id = ? AND state = ?
        """,
        (state, tx.now_us, reason, by_uid, message, job, found.state),
    )
    tx.emit(job, Cue.CANCELLED, state, None, {"reason": "cancelled", "message": message, "by_uid": by_uid})
    decide_dependents(tx, job, state, "cancelled")
    return CancelResult(str(state), None, None)


def _cancel_running(tx: Tx, job: int, found: _Job, by_uid: int, reason: str | None) -> CancelResult:
    assert found.lease is not None
    if not found.cancel_requested:
        tx.change_one(
            """
            UPDATE jobs SET cancel_requested = 1, cancel_reason = ?, cancelled_by = ?
            WHERE id = ? AND state = 'running' AND lease = ?
            """,
            (reason, by_uid, job, found.lease),
        )
        data = {"by_uid": by_uid, "lease": found.lease, "cancel_reason": reason}
        tx.emit(job, "cancelling", JobState.RUNNING, found.attempt, data)
    attempt = find_attempt(tx, found.lease)
    assert attempt is not None
    return CancelResult(str(JobState.RUNNING), found.lease, attempt.incarnation)


def retry(tx: Tx, job: int, *, by_uid: int, is_admin: bool = False) -> None:
    """Queues a final job again, due now, with fresh budgets; its attempts stay and their numbers go on.

    It waits for no other job, and revives none that waited for it. Raises RequestError `not_found`, `wrong_state`
    (not final) or `conflict` (its unique key is another job's now; `is_admin`: the retrier may see everybody's jobs).
    """
    found = _find(tx, job)
    if found.state not in FINAL:
        raise _wrong_state(job, found.state, f"job {job} is {found.state}: only a job that is over can be retried")
    _check_key(tx, job, None if is_admin else by_uid)
    decide_all_of(tx, job)
    state = step(found.state, Cue.RETRIED)
    last = tx.conn.execute(
        "SELECT reason, message, exit_code, signal FROM attempts WHERE job = ? ORDER BY number DESC LIMIT 1", (job,)
    ).fetchone() or (None, None, None, None)
    tx.conn.execute("DELETE FROM results WHERE job = ?", (job,))
    tx.conn.execute("DELETE FROM declines WHERE job = ?", (job,))
    tx.change_one(
        """
        UPDATE jobs SET state = ?, due_us = ?, finished_us = NULL, failures = 0, losses = 0, cancel_requested = 0,
                        cancel_reason = NULL, cancelled_by = NULL, progress = NULL,
                        reason = ?, message = ?, exit_code = ?, signal = ?
        WHERE id = ? AND state = ?
        """,
        (state, tx.now_us, *last, job, found.state),
    )
    tx.emit(job, Cue.RETRIED, state, None, {"by_uid": by_uid})


def _check_key(tx: Tx, job: int, by_uid: int | None) -> None:
    queue, key = tx.conn.execute("SELECT queue, unique_key FROM jobs WHERE id = ?", (job,)).fetchone()
    holder = None if key is None else holder_of(tx, queue, key)
    if holder is not None:
        raise key_taken(queue, key, holder, visible=by_uid in (None, holder.owner_uid))


def promote_due(tx: Tx) -> int:
    """Queues what is due by now, the earliest first, at most `DUE_AT_ONCE`; returns how many were."""
    due = tx.conn.execute(DUE_BY, (tx.now_us, DUE_AT_ONCE)).fetchall()
    state = step(JobState.SCHEDULED, Cue.DUE)
    for (job,) in due:
        tx.change_one("UPDATE jobs SET state = ? WHERE id = ? AND state = 'scheduled'", (state, job))
        tx.emit(job, Cue.DUE, state, None, {})
    return len(due)


def report_progress(tx: Tx, lease: int, progress: Progress) -> None:
    """Keeps the newest progress of a running attempt. Raises RequestError `stale_lease`."""
    attempt = find_attempt(tx, lease)
    if attempt is None or attempt.state != "running":
        raise stale_lease(lease)
    _keep_progress(tx, attempt, progress)


def keep_last_progress(tx: Tx, attempt: Attempt, progress: Progress) -> None:
    """What a running attempt said last, unless it was told before: reports of it are throttled, the last one counts."""
    (told,) = tx.conn.execute("SELECT progress FROM jobs WHERE id = ?", (attempt.job,)).fetchone()
    if told != _encode(progress).decode():
        _keep_progress(tx, attempt, progress)


def _keep_progress(tx: Tx, attempt: Attempt, progress: Progress) -> None:
    tx.change_one(
        "UPDATE jobs SET progress = ? WHERE id = ? AND state = 'running' AND lease = ?",
        (_encode(progress).decode(), attempt.job, attempt.lease),
    )
    data: dict[str, Any] = msgspec.to_builtins(progress)
    tx.emit(attempt.job, "progress", JobState.RUNNING, attempt.number, data)


def _find(tx: Tx, job: int) -> _Job:
    row = tx.conn.execute("SELECT state, attempt, lease, cancel_requested FROM jobs WHERE id = ?", (job,)).fetchone()
    if row is None:
        raise RequestError("not_found", f"there is no job {job}")
    return _Job(JobState(row[0]), *row[1:])


def _wrong_state(job: int, state: JobState, message: str) -> RequestError:
    return RequestError("wrong_state", message, {"job": job, "state": str(state)})
