"""Pausing queues and holding their caps. A row of `queues` is a paused queue; `*` pauses all there are and will be.

Invariant: a cap is looked at in the very transaction that would exceed it, by the counters that the triggers keep.
Never touches a job: what runs goes on, what is submitted is kept.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from supervisor.core.errors import RequestError
from supervisor.core.queues import EVERY_QUEUE, QueueCaps, caps_of
from supervisor.store.batch import Tx
from supervisor.store.happenings import record_event

MOST_PAUSED: Final = 10_000
"""So many rows at most: each claim reads them."""


class Pause(NamedTuple):
    """Since when a queue is paused and by whom; `queue` is `*` where all are."""

    queue: str
    since_us: int
    by_uid: int


def pause(tx: Tx, queues: Sequence[str], *, by_uid: int) -> list[str]:
    """Lets nothing of these queues start (none named: of no queue at all); returns those that were not paused yet."""
    wanted = dict.fromkeys(queues or (EVERY_QUEUE,))
    paused = pauses(tx.conn)
    changed = [queue for queue in wanted if queue not in paused]
    if len(paused) + len(changed) > MOST_PAUSED:
        raise RequestError("bad_request", f"{MOST_PAUSED} queues at most can be paused by name: pause all of them")
    for queue in changed:
        tx.conn.execute("INSERT INTO queues (name, paused_us, paused_by) VALUES (?, ?, ?)", (queue, tx.now_us, by_uid))
        record_event(tx, "queue_paused", {"queue": queue, "by_uid": by_uid, "message": _words(queue, "paused")})
    return changed


def resume(tx: Tx, queues: Sequence[str], *, by_uid: int) -> list[str]:
    """Lets jobs of these queues start again (none named: of all); returns those that were paused.

    Raises RequestError `wrong_state` for a queue by name while all are paused: that would change nothing for it.
    """
    paused = pauses(tx.conn)
    if queues and EVERY_QUEUE in paused:
        raise RequestError(
            "wrong_state",
            f"all queues are paused, and so would {queues[0]} stay: `workerctl resume` without a name resumes them all",
            {"paused": sorted(paused)},
        )
    changed = [queue for queue in (dict.fromkeys(queues) if queues else paused) if queue in paused]
    for queue in changed:
        tx.conn.execute("DELETE FROM queues WHERE name = ?", (queue,))
        record_event(tx, "queue_resumed", {"queue": queue, "by_uid": by_uid, "message": _words(queue, "resumed")})
    return changed


def pauses(conn: sqlite3.Connection) -> dict[str, Pause]:
    """What is paused, by name; `*` among them if all are."""
    rows = conn.execute("SELECT name, paused_us, paused_by FROM queues ORDER BY name").fetchall()
    return {row[0]: Pause(*row) for row in rows}


def pause_of(conn: sqlite3.Connection, queue: str) -> Pause | None:
    """Why nothing of this queue starts: the pause of all queues, or its own; None if neither is."""
    row = conn.execute(
        "SELECT name, paused_us, paused_by FROM queues WHERE name IN (?, ?) ORDER BY name <> ? LIMIT 1",
        (EVERY_QUEUE, queue, EVERY_QUEUE),
    ).fetchone()
    return None if row is None else Pause(*row)


def open_queues(
    tx: Tx, queues: Sequence[str] | None, caps: Mapping[str, QueueCaps], held_back: set[str] | None = None
) -> list[str]:
    """Those of `queues` (None: of all that have work) whose jobs may start now.

    Adds to `held_back` those that only their cap keeps from it: the end of one of their jobs opens them again.
    """
    paused = {row[0] for row in tx.conn.execute("SELECT name FROM queues").fetchall()}
    if EVERY_QUEUE in paused:
        return []
    wanted = _with_work(tx) if queues is None else queues
    unpaused = [queue for queue in wanted if queue not in paused] if paused else list(wanted)
    if not caps:
        return unpaused
    full = {queue for queue in unpaused if _is_at_cap(tx, queue, caps_of(caps, queue).max_running)}
    if held_back is not None:
        held_back |= full
    return [queue for queue in unpaused if queue not in full]


def waiting_in(tx: Tx, queue: str) -> int:
    """How many jobs of a queue wait: for their turn, their time or others."""
    return _count(tx.conn, queue, "scheduled") + _count(tx.conn, queue, "queued")


def check_depth(queue: str, waiting: int, max_queued: int) -> None:
    """Raises RequestError `queue_full` where one more job would exceed the cap of those that wait."""
    if waiting >= max_queued:
        raise RequestError(
            "queue_full",
            f"queue {queue} is full: {waiting} jobs wait in it and at most {max_queued} may "
            f"(setting max_queued of its queues table); submit again when some have started",
            {"queue": queue, "waiting": waiting, "max_queued": max_queued},
        )


def running_in(conn: sqlite3.Connection, queue: str) -> int:
    """How many jobs of a queue run now."""
    return _count(conn, queue, "running")


def queued_in(conn: sqlite3.Connection, queue: str) -> int:
    """How many jobs of a queue could run now."""
    return _count(conn, queue, "queued")


def room_in(conn: sqlite3.Connection, queue: str, caps: Mapping[str, QueueCaps]) -> int | None:
    """How many more jobs of a queue may run beside those that do; None for any number."""
    most = caps_of(caps, queue).max_running if caps else None
    return None if most is None else max(0, most - running_in(conn, queue))


def _is_at_cap(tx: Tx, queue: str, max_running: int | None) -> bool:
    return max_running is not None and running_in(tx.conn, queue) >= max_running


def _with_work(tx: Tx) -> list[str]:
    return [row[0] for row in tx.conn.execute("SELECT queue FROM counters WHERE state = 'queued' AND n > 0").fetchall()]


def _count(conn: sqlite3.Connection, queue: str, state: str) -> int:
    row = conn.execute("SELECT n FROM counters WHERE state = ? AND queue = ?", (state, queue)).fetchone()
    return 0 if row is None else int(row[0])


def _words(queue: str, done: str) -> str:
    return f"all queues were {done}" if queue == EVERY_QUEUE else f"queue {queue} was {done}"
