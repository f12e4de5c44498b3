"""The one way to write: many calls, one BEGIN IMMEDIATE … COMMIT, each call in a savepoint of its own.

Invariant: what is returned as done is durable, what is returned as an error left no trace, and everything else is
a StorageError ("outcome unknown"). Never awaits, never calls back, never reads a clock.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import Any, Final, Generic, TypeVar

import msgspec

from supervisor.core.errors import RequestError, StorageError
from supervisor.store.failure import is_full, is_storage, storage_error

T = TypeVar("T")

_encode: Final = msgspec.json.Encoder().encode


class Event(msgspec.Struct, frozen=True):
    """A fact that others may watch. `id` grows with every event and is the cursor of every stream.

    `job` and its `state` are None for what happened to a worker or to the daemon.
    """

    id: int
    job: int | None
    at_us: int
    kind: str
    state: str | None
    attempt: int | None
    data: dict[str, Any]


class Tx:
    """One open write transaction: `conn`, its moment `now_us` (microseconds since the epoch), and its events so far."""

    __slots__ = ("conn", "events", "now_us")

    def __init__(self, conn: sqlite3.Connection, now_us: int) -> None:
        self.conn = conn
        self.now_us = now_us
        self.events: list[Event] = []

    def emit(self, job: int | None, kind: str, state: str | None, attempt: int | None, data: dict[str, Any]) -> None:
        """Records an event; it becomes visible with the state change that it tells, in the same commit."""
        # Cues and states are enumerations here and plain words everywhere else.
        kind, state = str(kind), None if state is None else str(state)
        row = (job, self.now_us, kind, state, attempt, _encode(data).decode())
        cursor = self.conn.execute(
            "INSERT INTO events (job, at_us, kind, state, attempt, data) VALUES (?, ?, ?, ?, ?, ?)", row
        )
        assert cursor.lastrowid is not None
        self.events.append(Event(cursor.lastrowid, job, self.now_us, kind, state, attempt, data))

    def change_one(self, sql: str, values: Sequence[Any]) -> None:
        """Executes a guarded change that must hit exactly one row; anything else is a defect and undoes the call."""
        changed = self.conn.execute(sql, values).rowcount
        if changed != 1:
            raise GuardFailed(f"a guarded change hit {changed} rows instead of 1: {' '.join(sql.split())}")


class Joinable(ABC, Generic[T]):
    """A call that can be run together with its neighbours of the same class, for little more than the price of one."""

    __slots__ = ()

    @abstractmethod
    def __call__(self, tx: Tx) -> T:
        """Runs it alone."""

    @classmethod
    @abstractmethod
    def run_all(cls, tx: Tx, calls: Sequence[Joinable[T]]) -> list[T | Exception]:
        """Their results in order. An exception in a place must have left no trace of its call.

        One that is raised undoes them all: they are then run again, each alone.
        """


class GuardFailed(Exception):
    """The row was not in the state that the same transaction had just read. A defect, never a client's fault."""


def run_batch(
    conn: sqlite3.Connection, now_us: int, calls: Sequence[Callable[[Tx], T]]
) -> tuple[list[T | Exception], list[Event]]:
    """Runs `calls` in one durable transaction: their results in order, and the events of those that succeeded.

    A call that raises is undone alone and its exception stands in its place. On a full disk nothing at all is
    done and `RequestError("storage_full")` stands in every place; the calls may then be run again. Raises
    StorageError when the outcome of the commit is unknown or the connection can no longer be trusted.
    """
    tx = Tx(conn, now_us)
    try:
        conn.execute("BEGIN IMMEDIATE")
        results: list[T | Exception] = []
        for kind, neighbours in groupby(calls, type):
            results += _run_neighbours(tx, kind, list(neighbours))
        conn.execute("COMMIT")
    except sqlite3.Error as error:
        _roll_back(conn)
        if is_full(error):
            return [storage_full() for _ in calls], []
        raise storage_error("the transaction", error) from error
    except BaseException:
        _roll_back(conn)
        raise
    return results, tx.events


def _run_neighbours(tx: Tx, kind: type, calls: list[Any]) -> list[T | Exception]:
    """Runs what stands side by side and is of one kind."""
    if len(calls) > 1 and issubclass(kind, Joinable):
        together = _run_one(tx, partial(kind.run_all, calls=calls))
        if not isinstance(together, Exception):
            return together
    return [_run_one(tx, call) for call in calls]


def _run_one(tx: Tx, call: Callable[[Tx], T]) -> T | Exception:
    known_events = len(tx.events)
    tx.conn.execute("SAVEPOINT one_call")
    try:
        result: T | Exception = call(tx)
    except Exception as error:
        if is_full(error) or is_storage(error):
            raise
        # HAZARD: some errors end the whole transaction by themselves; going on would commit calls one by one.
        if not tx.conn.in_transaction:
            raise StorageError(f"the transaction was lost: {error}") from error
        tx.conn.execute("ROLLBACK TO one_call")
        del tx.events[known_events:]
        result = error
    tx.conn.execute("RELEASE one_call")
    return result


def _roll_back(conn: sqlite3.Connection) -> None:
    # The connection may already be out of its transaction, or too broken to say so: the first error is the one to tell.
    try:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
    except sqlite3.Error:
        pass


def storage_full() -> RequestError:
    """The refusal of a call that a full disk does not let be done."""
    return RequestError("storage_full", "the disk is full: nothing was stored; free some space and repeat the request")
