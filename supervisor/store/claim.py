"""Granting a lease: the best queued job that a pool takes becomes a running attempt, in one transaction.

Invariant: greatest priority first, then the longest due, then the smallest id, over all (queue, type) pairs. One
seek a pair: neither waiting jobs of other types nor scheduled ones are ever stepped over. Nothing is leased of a queue
that is paused or at its cap of running jobs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from supervisor.core.job import JobSpec
from supervisor.core.queues import QueueCaps
from supervisor.core.state import Cue, JobState, step
from supervisor.store.batch import Tx
from supervisor.store.contents import inline_of
from supervisor.store.queues import open_queues, queued_in, room_in
from supervisor.wire.lease import Lease

_decode_spec: Final = msgspec.json.Decoder(JobSpec).decode

BEST_OF_PAIR: Final = """
    SELECT -priority, due_us, id FROM jobs INDEXED BY jobs_claim
    WHERE state = 'queued' AND queue = ? AND type = ?
    ORDER BY priority DESC, due_us, id LIMIT ?
"""
BEST_NOT_DECLINED: Final = """
    SELECT -priority, due_us, id FROM jobs INDEXED BY jobs_claim
    WHERE state = 'queued' AND queue = ? AND type = ?
      AND NOT EXISTS (SELECT 1 FROM declines WHERE declines.job = jobs.id AND declines.pool = ?)
    ORDER BY priority DESC, due_us, id LIMIT ?
"""


class _Head(NamedTuple):
    """One of the first of its queue and type. They compare as they are to run."""

    minus_priority: int
    due_us: int
    job: int
    queue: str


class _Claimed(NamedTuple):
    attempt: int
    name: str
    type: str
    queue: str
    spec: str
    due_us: int


def claim(
    tx: Tx,
    *,
    types: Sequence[str],
    queues: Sequence[str] | None,
    worker: str,
    incarnation: str,
    caps: Mapping[str, QueueCaps] | None = None,
    held_back: set[str] | None = None,
    pool: str | None = None,
) -> Lease | None:
    """Leases the best queued job of these types and queues (None: of all queues); None if there is none.

    Queues that were passed over because of their `caps` are added to `held_back`. Jobs that `pool` has declined are
    stepped over.
    """
    best = _best(tx, types, open_queues(tx, queues, caps or {}, held_back), pool, 1)
    return _lease(tx, best[0].job, worker, incarnation) if best else None


def claim_many(
    tx: Tx,
    *,
    most: int,
    sharers: int,
    types: Sequence[str],
    queues: Sequence[str] | None,
    worker: str,
    incarnation: str,
    caps: Mapping[str, QueueCaps],
    held_back: set[str],
    pool: str | None,
) -> list[Lease]:
    """The same for several at once, best first: at most so many, and of what waits no more than the share of one of
    `sharers` workers, so that none has a hand full of jobs while another one waits."""
    free = open_queues(tx, queues, caps, held_back)
    waiting = sum(queued_in(tx.conn, queue) for queue in free)
    most = min(most, max(1, -(-waiting // sharers)))
    room = {queue: room_in(tx.conn, queue, caps) for queue in free}
    leases = []
    for head in _best(tx, types, free, pool, most):
        left = room[head.queue]
        if left is not None:
            if not left:
                held_back.add(head.queue)
                continue
            room[head.queue] = left - 1
        leases.append(_lease(tx, head.job, worker, incarnation))
    return leases


def _lease(tx: Tx, job: int, worker: str, incarnation: str) -> Lease:
    found = _Claimed(
        *tx.conn.execute("SELECT attempt, name, type, queue, spec, due_us FROM jobs WHERE id = ?", (job,)).fetchone()
    )
    number = found.attempt + 1
    lease = _begin_attempt(tx, job, number, worker, incarnation)
    state = step(JobState.QUEUED, Cue.LEASED)
    tx.change_one(
        """
        UPDATE jobs SET state = ?, lease = ?, attempt = ?, started_us = ?, progress = NULL
        WHERE id = ? AND state = 'queued' AND attempt = ?
        """,
        (state, lease, number, tx.now_us, job, found.attempt),
    )
    waited_s = max(0, tx.now_us - found.due_us) / 1e6
    data = {"worker": worker, "lease": lease, "queue": found.queue, "waited_s": waited_s}
    tx.emit(job, Cue.LEASED, state, number, data)
    spec = _decode_spec(found.spec)
    return Lease(
        lease=lease,
        job=job,
        attempt=number,
        name=found.name,
        type=found.type,
        queue=found.queue,
        spec=spec,
        inline=inline_of(tx, spec),
    )


def _best(tx: Tx, types: Sequence[str], queues: Sequence[str], pool: str | None, most: int) -> list[_Head]:
    sql, more = (BEST_OF_PAIR, ()) if pool is None else (BEST_NOT_DECLINED, (pool,))
    heads = [
        _Head(row[0], row[1], row[2], queue)
        for queue in queues
        for kind in types
        for row in tx.conn.execute(sql, (queue, kind, *more, most)).fetchall()
    ]
    return sorted(heads)[:most]


def _begin_attempt(tx: Tx, job: int, number: int, worker: str, incarnation: str) -> int:
    cursor = tx.conn.execute(
        """
        INSERT INTO attempts (job, number, worker, incarnation, state, started_us)
        VALUES (?, ?, ?, ?, 'running', ?)
        """,
        (job, number, worker, incarnation, tx.now_us),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid
