"""A job as its JSON says it: the record, its limits, its attempts, its result. Reads only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from supervisor.core.job import Finding, Progress
from supervisor.core.limits import Limits
from supervisor.store.moment import maybe_rfc3339, rfc3339


class _Shown(msgspec.Struct):
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    limits: Limits = Limits()
    params: msgspec.Raw = msgspec.Raw(b"null")
    network: bool = False
    findings: tuple[Finding, ...] = ()
    webhook: str | None = None


_decode_shown: Final = msgspec.json.Decoder(_Shown).decode
_decode_progress: Final = msgspec.json.Decoder(Progress).decode

_JOB: Final = """
    SELECT id, name, type, queue, priority, state, reason, message, exit_code, signal, attempt, retries,
           submitted_us, due_us, started_us, finished_us, progress, owner_uid, cancel_requested, losses, spec,
           unique_key, cancel_reason, waits
    FROM jobs WHERE id = ?
"""
_ALL: Final = """
    SELECT id, name, type, queue, priority, state, reason, message, exit_code, signal, attempt, retries,
           submitted_us, due_us, started_us, finished_us, progress, owner_uid, cancel_requested, losses, spec,
           unique_key, cancel_reason, waits
    FROM jobs
    WHERE id < :before AND (:queue IS NULL OR queue = :queue) AND (:type IS NULL OR type = :type)
      AND (:name IS NULL OR name = :name) AND (:owner_uid IS NULL OR owner_uid = :owner_uid)
    ORDER BY id DESC LIMIT :limit
"""
_IN_STATE: Final = """
    SELECT id, name, type, queue, priority, state, reason, message, exit_code, signal, attempt, retries,
           submitted_us, due_us, started_us, finished_us, progress, owner_uid, cancel_requested, losses, spec,
           unique_key, cancel_reason, waits
    FROM jobs INDEXED BY jobs_state
    WHERE state = :state AND id < :before AND (:queue IS NULL OR queue = :queue) AND (:type IS NULL OR type = :type)
      AND (:name IS NULL OR name = :name) AND (:owner_uid IS NULL OR owner_uid = :owner_uid)
    ORDER BY id DESC LIMIT :limit
"""
_ATTEMPTS: Final = """
    SELECT number, worker, isolation, reason, exit_code, signal, evidence, started_us, finished_us, wall_s, cpu_s,
           peak_memory_bytes, stdout_bytes, stderr_bytes, leftover_killed, message, truncated, artifacts, enforced
    FROM attempts WHERE job = ? ORDER BY number DESC LIMIT ?
"""
_WAITING_FOR: Final = """
    SELECT job, on_job FROM dependencies WHERE job IN (SELECT value FROM json_each(?)) ORDER BY job, on_job
"""
SHOWN_ATTEMPTS: Final = 200
"""So many of a job's last attempts are shown, so that a job that was tried a thousand times still fits into an answer."""
_NEWEST: Final = 2**63 - 1


def job_view(conn: sqlite3.Connection, job: int) -> dict[str, Any] | None:
    """The whole JSON of a job, with `attempts` and `result`; None if there is no such job.

    Of more than 200 attempts the last 200 are shown. A running attempt's outcome is null. `env_names` are the names alone: values are never shown.
    """
    with _one_moment(conn):
        row = conn.execute(_JOB, (job,)).fetchone()
        if row is None:
            return None
        result = conn.execute("SELECT value FROM results WHERE job = ?", (job,)).fetchone()
        attempts = conn.execute(_ATTEMPTS, (job, SHOWN_ATTEMPTS)).fetchall()
        (view,) = _views(conn, [row])
    view["params"] = msgspec.json.decode(_decode_shown(row[20]).params)
    view["result"] = None if result is None else msgspec.json.decode(result[0])
    view["attempts"] = [_attempt(attempt) for attempt in reversed(attempts)]
    return view


def list_views(
    conn: sqlite3.Connection,
    *,
    states: Sequence[str],
    queue: str | None,
    job_type: str | None,
    name: str | None,
    before: int | None,
    limit: int,
    owner_uid: int | None = None,
) -> list[dict[str, Any]]:
    """At most `limit` jobs with a smaller id than `before`, newest first, without `attempts` and `result`.

    No `states` means all; None means any queue, type, name, owner.
    """
    wanted = {
        "queue": queue,
        "type": job_type,
        "name": name,
        "owner_uid": owner_uid,
        "before": _NEWEST if before is None else before,
        "limit": limit,
    }
    with _one_moment(conn):
        if not states:
            return _views(conn, conn.execute(_ALL, wanted).fetchall())
        # One query a state: each walks its part of the index from the newest and stops at the limit.
        rows = [row for state in set(states) for row in conn.execute(_IN_STATE, {**wanted, "state": state}).fetchall()]
        return _views(conn, sorted(rows, reverse=True)[:limit])


@contextmanager
def _one_moment(conn: sqlite3.Connection) -> Iterator[None]:
    """Several reads of one state of the database."""
    if conn.in_transaction:
        yield
        return
    conn.execute("BEGIN DEFERRED")
    try:
        yield
    finally:
        conn.execute("COMMIT")


def _views(conn: sqlite3.Connection, rows: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    waiting = [row[0] for row in rows if row[23]]
    waiting_for: dict[int, list[int]] = {}
    if waiting:
        for job, on_job in conn.execute(_WAITING_FOR, (msgspec.json.encode(waiting).decode(),)).fetchall():
            waiting_for.setdefault(job, []).append(on_job)
    return [_view(row, waiting_for.get(row[0], [])) for row in rows]


def _view(row: Sequence[Any], waiting_for: list[int]) -> dict[str, Any]:
    shown = _decode_shown(row[20])
    return {
        "id": row[0],
        "name": row[1],
        "type": row[2],
        "queue": row[3],
        "priority": row[4],
        "state": row[5],
        "reason": row[6],
        "message": row[7],
        "exit_code": row[8],
        "signal": row[9],
        "attempt": row[10],
        "retries": row[11],
        "submitted_at": rfc3339(row[12]),
        "due_at": rfc3339(row[13]),
        "started_at": maybe_rfc3339(row[14]),
        "finished_at": maybe_rfc3339(row[15]),
        "waiting_for": waiting_for,
        "unique_key": row[21],
        "limits": msgspec.to_builtins(shown.limits),
        "progress": _progress(row[16]),
        "owner_uid": row[17],
        "cancel_requested": bool(row[18]),
        "cancel_reason": row[22],
        "losses": row[19],
        "args": list(shown.args),
        "env_names": sorted(shown.env),
        "network": shown.network,
        "webhook": shown.webhook,
        "findings": [msgspec.to_builtins(finding) for finding in shown.findings],
    }


def _attempt(row: Sequence[Any]) -> dict[str, Any]:
    return {
        "number": row[0],
        "worker": row[1],
        "isolation": row[2],
        "reason": row[3],
        "exit_code": row[4],
        "signal": row[5],
        "evidence": row[6],
        "started_at": rfc3339(row[7]),
        "finished_at": maybe_rfc3339(row[8]),
        "wall_s": row[9],
        "cpu_s": row[10],
        "peak_memory_bytes": row[11],
        "stdout_bytes": row[12],
        "stderr_bytes": row[13],
        "leftover_killed": row[14],
        "message": row[15],
        "truncated": None if row[16] is None else bool(row[16]),
        "artifacts": row[17],
        "enforced": None if row[18] is None else msgspec.json.decode(row[18]),
    }


def _progress(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    progress = _decode_progress(text)
    return {"percentage": progress.percentage, "stage": progress.stage, "message": progress.message}
