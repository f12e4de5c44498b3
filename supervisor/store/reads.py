"""Small questions about the queue, for a reader connection. Counts come from `counters`: nothing is ever counted."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from supervisor.core.names import STATES
from supervisor.store.batch import Event

NEXT_DUE: Final = "SELECT min(due_us) FROM jobs INDEXED BY jobs_due WHERE state = 'scheduled' AND waits = 0"

_NONE_YET: Final = dict.fromkeys(STATES, 0)
_decode_data: Final = msgspec.json.Decoder(dict[str, Any]).decode


class _Merge(msgspec.Struct):
    merge: bool = False


_decode_merge: Final = msgspec.json.Decoder(_Merge).decode


class AttemptInfo(NamedTuple):
    """Where an attempt's output is to be looked for. Sizes in bytes, None while it runs or where nobody measured."""

    number: int
    lease: int
    state: str
    stdout_bytes: int | None
    stderr_bytes: int | None
    merge: bool


class Made(NamedTuple):
    """The job that a submit has made, the digest of what it asked for, and who asked."""

    job: int
    request_hash: str
    owner_uid: int


def owner_of(conn: sqlite3.Connection, job: int) -> int | None:
    """The uid that submitted the job; None if there is no such job."""
    row = conn.execute("SELECT owner_uid FROM jobs WHERE id = ?", (job,)).fetchone()
    return None if row is None else int(row[0])


def jobs_of_requests(conn: sqlite3.Connection, request_ids: Sequence[str]) -> dict[str, Made]:
    """By request_id what the submits of these ids made; those that made nothing are left out."""
    rows = conn.execute(
        """
        SELECT request_id, id, request_hash, owner_uid FROM jobs
        WHERE request_id IN (SELECT value FROM json_each(?))
        """,
        (msgspec.json.encode(request_ids).decode(),),
    ).fetchall()
    return {request_id: Made(*made) for request_id, *made in rows}


def states_of(conn: sqlite3.Connection, jobs: Sequence[int]) -> dict[int, str]:
    """The state of each of the jobs that exist."""
    wanted = msgspec.json.encode(list(jobs)).decode()
    rows = conn.execute("SELECT id, state FROM jobs WHERE id IN (SELECT value FROM json_each(?))", (wanted,)).fetchall()
    return dict(rows)


def cancels_among(conn: sqlite3.Connection, leases: Sequence[int]) -> list[int]:
    """Those of the leases whose job has been cancelled and still runs."""
    wanted = msgspec.json.encode(list(leases)).decode()
    rows = conn.execute(
        """
        SELECT a.lease FROM attempts AS a JOIN jobs AS j ON j.id = a.job
        WHERE a.lease IN (SELECT value FROM json_each(?)) AND a.state = 'running' AND j.cancel_requested = 1
        """,
        (wanted,),
    ).fetchall()
    return [row[0] for row in rows]


def jobs_among(conn: sqlite3.Connection, leases: Sequence[int]) -> dict[int, int]:
    """The job of each of the leases whose attempt still runs, by lease."""
    wanted = msgspec.json.encode(list(leases)).decode()
    rows = conn.execute(
        "SELECT lease, job FROM attempts WHERE lease IN (SELECT value FROM json_each(?)) AND state = 'running'",
        (wanted,),
    ).fetchall()
    return {int(lease): int(job) for lease, job in rows}


def events_after(conn: sqlite3.Connection, *, job: int | None, after: int, limit: int) -> list[Event]:
    """At most `limit` events with a greater id than `after`, of one job or (None) of all, oldest first."""
    if job is None:
        rows = conn.execute(
            "SELECT id, job, at_us, kind, state, attempt, data FROM events WHERE id > ? ORDER BY id LIMIT ?",
            (after, limit),
        ).fetchall()
    else:
        rows = conn.execute(
            """
            SELECT id, job, at_us, kind, state, attempt, data FROM events
            WHERE job = ? AND id > ? ORDER BY id LIMIT ?
            """,
            (job, after, limit),
        ).fetchall()
    return [Event(id, of, at, kind, state, n, _decode_data(data)) for id, of, at, kind, state, n, data in rows]


def last_event_id(conn: sqlite3.Connection) -> int:
    """The newest cursor: the greatest event id ever given, 0 if there was none."""
    row = conn.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return 0 if row is None else int(row[0])


def counts(conn: sqlite3.Connection) -> dict[str, int]:
    """How many jobs are in each of the six states."""
    return _NONE_YET | dict(conn.execute("SELECT state, sum(n) FROM counters GROUP BY state").fetchall())


def queue_counts(conn: sqlite3.Connection) -> dict[str, dict[str, int]]:
    """The same for each queue that has jobs, or had some until `forget_empty_queues`."""
    queues: dict[str, dict[str, int]] = {}
    for queue, state, n in conn.execute("SELECT queue, state, n FROM counters ORDER BY queue").fetchall():
        queues.setdefault(queue, dict(_NONE_YET))[state] = n
    return queues


def next_due_us(conn: sqlite3.Connection) -> int | None:
    """When the next scheduled job is due; None if nothing is scheduled."""
    due_us: int | None = conn.execute(NEXT_DUE).fetchone()[0]
    return due_us


def oldest_queued_us(conn: sqlite3.Connection) -> int | None:
    """Since when the longest waiting queued job is due; None if nothing is queued.

    Looks at the 1000 queued jobs that were submitted first: exact unless that many were delayed or tried again.
    """
    due_us: int | None = conn.execute(
        """
        SELECT min(due_us) FROM
            (SELECT due_us FROM jobs INDEXED BY jobs_state WHERE state = 'queued' ORDER BY id LIMIT 1000)
        """
    ).fetchone()[0]
    return due_us


def attempt_of(conn: sqlite3.Connection, job: int, number: int | None) -> AttemptInfo | None:
    """The attempt of that number, or (None) the last one; None if there is none."""
    row = conn.execute(
        """
        SELECT a.number, a.lease, a.state, a.stdout_bytes, a.stderr_bytes, j.spec
        FROM attempts AS a JOIN jobs AS j ON j.id = a.job
        WHERE a.job = :job AND (:number IS NULL OR a.number = :number) ORDER BY a.number DESC LIMIT 1
        """,
        {"job": job, "number": number},
    ).fetchone()
    if row is None:
        return None
    last, lease, state, stdout_bytes, stderr_bytes, spec = row
    return AttemptInfo(last, lease, state, stdout_bytes, stderr_bytes, _decode_merge(spec).merge)
