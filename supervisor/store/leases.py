"""What becomes of granted leases: settled, given back, or lost with the worker that held them.

Invariant: only the incarnation that was granted a lease may settle or release it, and only while it runs; after
that everything it says is `stale_lease`, except the very same settle again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from supervisor.core.job import Progress
from supervisor.core.outcome import Outcome
from supervisor.core.state import JobState
from supervisor.store.batch import Tx
from supervisor.store.claim import claim
from supervisor.store.jobs import keep_last_progress
from supervisor.store.running import (
    Attempt,
    Settled_,
    end_attempt,
    find_attempt,
    lose_unstarted,
    stale_lease,
    take_back,
)

__all__ = ["Settled_", "claim", "lose", "release", "release_unheld", "running_incarnations", "settle"]

LossReason = Literal["worker_lost", "host_lost", "stuck"]

_NESTING: Final = 64


def settle(
    tx: Tx,
    *,
    lease: int,
    incarnation: str,
    outcome: Outcome,
    isolation: str,
    result: msgspec.Raw | None,
    progress: Progress | None,
    dice: float,
    waited_s: float = 0.0,
) -> Settled_:
    """Records how the attempt of a lease ended and moves its job on; the same settle again changes nothing.

    `dice` in [0, 1) chooses the delay before another try. The result is kept if the job is final by this. `waited_s`
    is how long after its lease the attempt began. Raises RequestError `stale_lease`.
    """
    attempt = _held_by(tx, lease, incarnation)
    if attempt.state == "ended":
        return _repeated(tx, attempt, outcome)
    if progress is not None:
        keep_last_progress(tx, attempt, progress)
    return end_attempt(
        tx,
        attempt,
        outcome,
        measured=True,
        isolation=isolation,
        result=_usable(result),
        dice=dice,
        waited_us=int(waited_s * 1e6),
    )


def release(tx: Tx, *, lease: int, incarnation: str) -> int | None:
    """Gives back a lease whose attempt never started a process; returns its job. Raises RequestError `stale_lease`."""
    attempt = _held_by(tx, lease, incarnation)
    if attempt.state == "ended":
        raise stale_lease(lease)
    take_back(tx, attempt, "given back by its worker before it started")
    return attempt.job


def lose(
    tx: Tx, *, incarnation: str, reason: LossReason, message: str, started: int | None, died: bool = True
) -> list[int]:
    """Ends every running attempt of a worker that is gone; returns the jobs concerned.

    `started` is the last lease for which a process was started, None if nobody knows: a greater lease never started
    anything and is given back. If the worker `died` and ran nothing, it was about to start the first of these: a loss.
    """
    jobs: list[int] = []
    for attempt in _running_of(tx, incarnation):
        if started is not None and attempt.lease > started:
            give_back = take_back if jobs or not died else lose_unstarted
            give_back(tx, attempt, f"its worker was lost before it started: {message}")
        else:
            outcome = Outcome(reason=reason, message=message, retryable=reason != "stuck")
            end_attempt(tx, attempt, outcome, measured=False)
        jobs.append(attempt.job)
    return jobs


def release_unheld(tx: Tx, *, incarnation: str, holding: Sequence[int]) -> list[int]:
    """Takes back the leases that a live worker does not know of, since the reply was lost; returns their jobs."""
    held = frozenset(holding)
    unheld = [attempt for attempt in _running_of(tx, incarnation) if attempt.lease not in held]
    for attempt in unheld:
        take_back(tx, attempt, "its lease never reached the worker")
    return [attempt.job for attempt in unheld]


def running_incarnations(conn: sqlite3.Connection) -> list[str]:
    """The incarnations that have a running attempt."""
    rows = conn.execute("SELECT DISTINCT incarnation FROM attempts WHERE state = 'running' ORDER BY 1").fetchall()
    return [row[0] for row in rows]


def _held_by(tx: Tx, lease: int, incarnation: str) -> Attempt:
    attempt = find_attempt(tx, lease)
    if attempt is None or attempt.incarnation != incarnation:
        raise stale_lease(lease)
    return attempt


def _running_of(tx: Tx, incarnation: str) -> list[Attempt]:
    leases = tx.conn.execute(
        "SELECT lease FROM attempts WHERE state = 'running' AND incarnation = ? ORDER BY lease", (incarnation,)
    ).fetchall()
    return [attempt for (lease,) in leases if (attempt := find_attempt(tx, lease)) is not None]


def _repeated(tx: Tx, attempt: Attempt, outcome: Outcome) -> Settled_:
    recorded = tx.conn.execute(
        """
        SELECT reason, message, evidence, exit_code, signal, wall_s, cpu_s, peak_memory_bytes, stdout_bytes,
               stderr_bytes, leftover_killed
        FROM attempts WHERE lease = ?
        """,
        (attempt.lease,),
    ).fetchone()
    said = (
        outcome.reason,
        outcome.message,
        outcome.evidence,
        outcome.exit_code,
        outcome.signal,
        outcome.wall_s,
        outcome.cpu_s,
        outcome.peak_memory_bytes,
        outcome.stdout_bytes,
        outcome.stderr_bytes,
        outcome.leftover_killed,
    )
    if recorded != said:
        raise stale_lease(attempt.lease)
    state, due_us = tx.conn.execute("SELECT state, due_us FROM jobs WHERE id = ?", (attempt.job,)).fetchone()
    return Settled_(attempt.job, state, due_us if state == JobState.SCHEDULED else None)


def _usable(result: msgspec.Raw | None) -> str | None:
    # HAZARD: a result that cannot be read again must cost the result, not the settle: the lease would never end.
    if result is None:
        return None
    try:
        msgspec.json.decode(b"[" * _NESTING + bytes(result) + b"]" * _NESTING)
        return bytes(result).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
