"""The attempt behind a lease, and the two ways in which it ceases to run: ended with an outcome, or taken back.

Invariant: an attempt gets one outcome and keeps it; every change is fenced by the lease. Who may settle what, and
what a loss means, is decided by the callers.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from supervisor.core.errors import RequestError
from supervisor.core.outcome import Outcome
from supervisor.core.retry import RETRYABLE, Backoff, History, OnLoss, Settlement, decide, decide_unstarted
from supervisor.core.state import FINAL, Cue, JobState, step
from supervisor.store.batch import Tx
from supervisor.store.dependencies import decide_dependents
from supervisor.store.moment import LAST_US, rfc3339
from supervisor.store.tallies import count_attempt


class Attempt(NamedTuple):
    """An attempt, and what of its job decides what follows."""

    lease: int
    job: int
    number: int
    incarnation: str
    state: str
    retries: int
    failures: int
    losses: int
    on_loss: OnLoss
    cancel_requested: int
    cancel_reason: str | None
    worker: str
    queue: str

    @property
    def history(self) -> History:
        """The job's past as `core.retry` wants it."""
        return History(
            retries=self.retries,
            failures=self.failures,
            losses=self.losses,
            on_loss=self.on_loss,
            cancel_requested=bool(self.cancel_requested),
        )


class Settled_(NamedTuple):
    """Where a job is after its attempt was settled; `due_us` for one that is scheduled to run again."""

    job: int
    state: str
    due_us: int | None


class _Tries(msgspec.Struct):
    backoff: Backoff = Backoff()
    retry_on: tuple[str, ...] = RETRYABLE


_encode: Final = msgspec.json.Encoder().encode
_decode_tries: Final = msgspec.json.Decoder(_Tries).decode


def find_attempt(tx: Tx, lease: int) -> Attempt | None:
    """The attempt of a lease, running or ended; None if there is none (never granted, or taken back)."""
    row = tx.conn.execute(
        """
        SELECT a.lease, a.job, a.number, a.incarnation, a.state, j.retries, j.failures, j.losses, j.on_loss,
               j.cancel_requested, j.cancel_reason, a.worker, j.queue
        FROM attempts AS a JOIN jobs AS j ON j.id = a.job WHERE a.lease = ?
        """,
        (lease,),
    ).fetchone()
    return None if row is None else Attempt(*row)


def stale_lease(lease: int) -> RequestError:
    """The refusal of what a worker says about a lease that it does not hold."""
    return RequestError("stale_lease", f"lease {lease} is not held: its attempt has ended otherwise", {"lease": lease})


def end_attempt(
    tx: Tx,
    attempt: Attempt,
    outcome: Outcome,
    *,
    measured: bool,
    isolation: str | None = None,
    result: str | None = None,
    dice: float = 0.0,
    waited_us: int = 0,
) -> Settled_:
    """Records how a running attempt ended and moves its job on. `measured` is false where nobody saw the end.

    It began `waited_us` after its lease.
    """
    _record(tx, attempt, outcome, isolation, measured, waited_us)
    count_attempt(tx, attempt.lease)
    tries = _tries_of(tx, attempt.job) if outcome.reason != "ok" else _Tries()
    settlement = decide(
        outcome.reason, outcome.retryable, attempt.history, tries.backoff, dice, outcome.message, tries.retry_on
    )
    return _move_on(tx, attempt, outcome, settlement, result, measured=measured, waited_us=waited_us)


def take_back(tx: Tx, attempt: Attempt, why: str) -> None:
    """Undoes a claim that never started a process: no attempt is left, the job is queued (or cancelled) as before."""
    if attempt.cancel_requested:
        end_unstarted(tx, attempt, Cue.CANCELLED, "cancelled", _cancelled_unstarted(attempt))
    else:
        _queue_unstarted(tx, attempt, why, attempt.losses)


def lose_unstarted(tx: Tx, attempt: Attempt, why: str) -> None:
    """The same for the lease whose process its worker was about to start when it died: that counts as a loss."""
    settled = decide_unstarted(attempt.history, why)
    match settled.cue:
        case Cue.CANCELLED:
            end_unstarted(tx, attempt, Cue.CANCELLED, "cancelled", _cancelled_unstarted(attempt))
        case Cue.FAILED:
            end_unstarted(tx, attempt, Cue.FAILED, "worker_lost", settled.message or why, settled.losses)
        case _:
            _queue_unstarted(tx, attempt, why, settled.losses)


def end_unstarted(tx: Tx, attempt: Attempt, cue: Cue, reason: str, message: str, losses: int | None = None) -> None:
    """Ends the job of a lease that never started a process: no attempt is left of it. `losses`: the job's from now on."""
    state = step(JobState.RUNNING, cue)
    before = attempt.number - 1
    tx.change_one("DELETE FROM attempts WHERE lease = ? AND state = 'running'", (attempt.lease,))
    tx.change_one(
        """
        UPDATE jobs SET state = ?, lease = NULL, attempt = ?, finished_us = ?, losses = ?, reason = ?, message = ?,
                        exit_code = NULL, signal = NULL,
                        started_us = (SELECT started_us FROM attempts WHERE job = jobs.id AND number = ?)
        WHERE id = ? AND state = 'running' AND lease = ?
        """,
        (
            state,
            before,
            tx.now_us,
            attempt.losses if losses is None else losses,
            reason,
            message,
            before,
            attempt.job,
            attempt.lease,
        ),
    )
    data = {"lease": attempt.lease, "reason": reason, "message": message, "queue": attempt.queue}
    tx.emit(attempt.job, cue, state, attempt.number, data)
    decide_dependents(tx, attempt.job, state, reason)


def _queue_unstarted(tx: Tx, attempt: Attempt, why: str, losses: int) -> None:
    state = step(JobState.RUNNING, Cue.RELEASED)
    before = attempt.number - 1
    tx.change_one("DELETE FROM attempts WHERE lease = ? AND state = 'running'", (attempt.lease,))
    tx.change_one(
        """
        UPDATE jobs SET state = ?, lease = NULL, attempt = ?, losses = ?,
                        started_us = (SELECT started_us FROM attempts WHERE job = jobs.id AND number = ?)
        WHERE id = ? AND state = 'running' AND lease = ?
        """,
        (state, before, losses, before, attempt.job, attempt.lease),
    )
    tx.emit(attempt.job, Cue.RELEASED, state, attempt.number, {"lease": attempt.lease, "message": why})


def _record(tx: Tx, attempt: Attempt, outcome: Outcome, isolation: str | None, measured: bool, waited_us: int) -> None:
    seen = (
        outcome.wall_s,
        outcome.cpu_s,
        outcome.peak_memory_bytes,
        outcome.stdout_bytes,
        outcome.stderr_bytes,
        outcome.leftover_killed,
        outcome.truncated,
        outcome.artifacts,
        _encode(outcome.enforced).decode(),
    )
    tx.change_one(
        """
        UPDATE attempts SET state = 'ended', isolation = ?, reason = ?, message = ?, evidence = ?, exit_code = ?,
                            signal = ?, finished_us = max(started_us, ?), wall_s = ?, cpu_s = ?, peak_memory_bytes = ?,
                            stdout_bytes = ?, stderr_bytes = ?, leftover_killed = ?, truncated = ?, artifacts = ?,
                            enforced = ?, started_us = max(started_us, min(?, started_us + ?))
        WHERE lease = ? AND state = 'running'
        """,
        (
            isolation or None,
            outcome.reason,
            outcome.message,
            outcome.evidence,
            outcome.exit_code,
            outcome.signal,
            tx.now_us,
            *(seen if measured else (None,) * len(seen)),
            tx.now_us,
            waited_us,
            attempt.lease,
        ),
    )


def _move_on(
    tx: Tx,
    attempt: Attempt,
    outcome: Outcome,
    settled: Settlement,
    result: str | None,
    *,
    measured: bool,
    waited_us: int,
) -> Settled_:
    state = step(JobState.RUNNING, settled.cue)
    reason, message = outcome.reason, settled.message or outcome.message
    if settled.cue is Cue.CANCELLED:
        reason, message = "cancelled", _cancel_sentence(attempt, outcome)
    due_us = None if settled.delay_s is None else min(LAST_US, tx.now_us + _microseconds(settled.delay_s))
    tx.change_one(
        """
        UPDATE jobs SET state = ?, lease = NULL, finished_us = max(started_us, ?), due_us = coalesce(?, due_us), failures = ?,
                        losses = ?, reason = ?, message = ?, exit_code = ?, signal = ?,
                        started_us = max(started_us, min(?, started_us + ?))
        WHERE id = ? AND state = 'running' AND lease = ?
        """,
        (
            state,
            tx.now_us if state in FINAL else None,
            due_us,
            settled.failures,
            settled.losses,
            reason,
            message,
            outcome.exit_code,
            outcome.signal,
            tx.now_us,
            waited_us,
            attempt.job,
            attempt.lease,
        ),
    )
    if result is not None and state in FINAL:
        tx.conn.execute("INSERT INTO results (job, value) VALUES (?, ?)", (attempt.job, result))
    data: dict[str, Any] = {
        "lease": attempt.lease,
        "reason": reason,
        "message": message,
        "exit_code": outcome.exit_code,
        "signal": outcome.signal,
        "queue": attempt.queue,
        "worker": attempt.worker,
        "wall_s": outcome.wall_s if measured else None,
    }
    if due_us is not None:
        data["due_at"] = rfc3339(due_us)
    tx.emit(attempt.job, settled.cue, state, attempt.number, data)
    if state in FINAL:
        decide_dependents(tx, attempt.job, state, reason)
    return Settled_(attempt.job, str(state), due_us)


def _tries_of(tx: Tx, job: int) -> _Tries:
    (spec,) = tx.conn.execute("SELECT spec FROM jobs WHERE id = ?", (job,)).fetchone()
    return _decode_tries(spec)


def _cancelled_unstarted(attempt: Attempt) -> str:
    return _with("cancelled before it started", attempt.cancel_reason)


def _cancel_sentence(attempt: Attempt, outcome: Outcome) -> str:
    sentence = _with("cancelled while it ran", attempt.cancel_reason)
    return sentence if outcome.reason == "cancelled" else f"{sentence} (its attempt: {outcome.message})"


def _with(sentence: str, reason: str | None) -> str:
    return f"{sentence}: {reason}" if reason else sentence


def _microseconds(delay_s: float) -> int:
    # A delay beyond any date (also infinity) must not overflow the integer.
    return int(min(max(delay_s, 0.0) * 1e6, float(LAST_US)))
