"""What each worker slot has done since the database began: counted in the transaction that ends an attempt.

Invariant: `done + failed` of a slot is the number of its attempts that have ended, deleted jobs' included. A slot is
known by its name; its numbers outlive its processes, the broker and the daemon.
"""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

import msgspec

from supervisor.store.batch import Tx

COUNT_ATTEMPT: Final = """
    INSERT INTO workers (name, pool, done, failed, busy_s)
    SELECT worker, substr(worker, 1, instr(worker || '/', '/') - 1), reason = 'ok', reason <> 'ok',
           coalesce(wall_s, max(0, finished_us - started_us) / 1e6)
    FROM attempts WHERE lease = ?
    ON CONFLICT (name) DO UPDATE SET done = done + excluded.done, failed = failed + excluded.failed,
                                     busy_s = busy_s + excluded.busy_s
"""
COUNT_RESTART: Final = """
    INSERT INTO workers (name, pool, restarts, reasons)
    VALUES (?1, substr(?1, 1, instr(?1 || '/', '/') - 1), 1, ?2)
    ON CONFLICT (name) DO UPDATE SET restarts = restarts + 1, reasons = excluded.reasons
"""

_encode: Final = msgspec.json.Encoder().encode
_decode_reasons: Final = msgspec.json.Decoder(dict[str, int]).decode


class Tally(NamedTuple):
    """One slot's numbers: attempts that ended ok and otherwise, seconds in which its jobs ran, restarts by reason."""

    name: str
    pool: str
    done: int
    failed: int
    busy_s: float
    restarts: int
    reasons: dict[str, int]


def count_attempt(tx: Tx, lease: int) -> None:
    """Adds the attempt of `lease`, which has just ended, to its worker's numbers."""
    tx.change_one(COUNT_ATTEMPT, (lease,))


def count_restart(tx: Tx, worker: str, reason: str) -> None:
    """A process of this slot is over, and another takes its place."""
    row = tx.conn.execute("SELECT reasons FROM workers WHERE name = ?", (worker,)).fetchone()
    reasons = {} if row is None else _decode_reasons(row[0])
    reasons[reason] = reasons.get(reason, 0) + 1
    tx.change_one(COUNT_RESTART, (worker, _encode(reasons).decode()))


def tallies(conn: sqlite3.Connection) -> dict[str, Tally]:
    """The numbers of every slot that ever had an attempt or a restart, by its name."""
    rows = conn.execute("SELECT name, pool, done, failed, busy_s, restarts, reasons FROM workers").fetchall()
    return {row[0]: Tally(row[0], row[1], row[2], row[3], row[4], row[5], _decode_reasons(row[6])) for row in rows}
