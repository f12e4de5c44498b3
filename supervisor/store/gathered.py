"""Rows of new jobs, gathered and written many at a time: a statement for dozens of rows costs little more than for one.

Invariant: a gathered job has its id, the one that the table itself would give it next. Whoever reads these tables or
emits an event in the same transaction calls `write` first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from supervisor.store.batch import Event, Tx

AT_MOST: Final = 256
"""So many jobs are gathered before they are written."""
_ROWS: Final = (64, 32, 16, 8, 4, 2, 1)
"""How many rows a statement has: few sizes, so that each is prepared once, and few statements for any number."""
_ONE_BY_ONE: Final = (1,)
_LARGE: Final = 256 << 10
"""With more text than that, rows are written one by one: SQLite keeps a statement's values until its next use."""


class _Table(NamedTuple):
    """A table's name, its columns in parentheses, and how many these are."""

    name: str
    columns: str
    width: int


_JOBS: Final = _Table(
    "jobs",
    "(id, request_id, request_hash, owner_uid, name, type, queue, priority, state, due_us, submitted_us, retries, "
    "on_loss, unique_key, waits, spec)",
    16,
)
_JOB_CONTENTS: Final = _Table("job_contents", "(job, sha256)", 2)
_EVENTS: Final = _Table("events", "(id, job, at_us, kind, state, attempt, data)", 7)


class Gathered:
    """The new jobs of a transaction that are not written yet, with what each needs and the event that tells of it."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._jobs: list[Any] = []
        self._contents: list[Any] = []
        self._events: list[Any] = []
        self._count = 0
        self._size = 0
        self._last_job = self._last_event = 0

    def add(self, values: Sequence[Any], contents: Iterable[str], event: tuple[str, dict[str, Any], str]) -> int:
        """Gathers a job; returns its id. `values` are its columns after the id, the spec last.

        `event` is what is told of it: its state, the event's data, and these as JSON.
        """
        if self._count == AT_MOST:
            self.write()
        if not self._count:
            self._last_job, self._last_event = _last_ids(self._tx.conn)
        self._count += 1
        self._last_job = job = self._last_job + 1
        self._last_event += 1
        state, data, text = event
        now_us = self._tx.now_us
        self._jobs.append(job)
        self._jobs += values
        self._size += len(values[-1])
        for sha256 in contents:
            self._contents += (job, sha256)
        self._events += (self._last_event, job, now_us, "submitted", state, None, text)
        self._tx.events.append(Event(self._last_event, job, now_us, "submitted", state, None, data))
        return job

    def write(self) -> None:
        """Writes all that is gathered; nothing is gathered after this."""
        conn = self._tx.conn
        _insert(conn, _JOBS, self._jobs, _ROWS if self._size <= _LARGE else _ONE_BY_ONE)
        _insert(conn, _JOB_CONTENTS, self._contents)
        _insert(conn, _EVENTS, self._events)
        self._jobs, self._contents, self._events = [], [], []
        self._count = self._size = 0


def _insert(conn: sqlite3.Connection, table: _Table, values: list[Any], sizes: Sequence[int] = _ROWS) -> None:
    """Inserts rows whose values stand one behind the other, so many with a statement."""
    done = 0
    for rows in sizes:
        step = rows * table.width
        while len(values) - done >= step:
            conn.execute(_statement(table, rows), values[done : done + step])
            done += step


@cache
def _statement(table: _Table, rows: int) -> str:
    row = f"({', '.join('?' * table.width)})"
    return " ".join(("INSERT INTO", table.name, table.columns, "VALUES", ", ".join([row] * rows)))


def _last_ids(conn: sqlite3.Connection) -> tuple[int, int]:
    """The greatest ids that a job and an event ever had."""
    seen = dict(conn.execute("SELECT name, seq FROM sqlite_sequence WHERE name IN ('jobs', 'events')").fetchall())
    return seen.get("jobs", 0), seen.get("events", 0)
