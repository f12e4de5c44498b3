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
from supervisor.store.queues import open_queues
from supervisor.wire.lease import Lease

_decode_spec: Final = msgspec.json.Decoder(JobSpec).decode

BEST_OF_PAIR: Final = """
    SELECT -priority, due_us, id FROM jobs INDEXED BY jobs_claim
    WHERE state = 'queued' AND queue = ? AND type = ?
    ORDER BY priority DESC, due_us, id LIMIT 1
"""
BEST_NOT_DECLINED: Final = """
    SELECT -priority, due_us, id FROM jobs INDEXED BY jobs_claim
    WHERE state = 'queued' AND queue = ? AND type = ?
      AND NOT EXISTS (SELECT 1 FROM declines WHERE declines.job = jobs.id AND declines.pool = ?)
    ORDER BY priority DESC, due_us, id LIMIT 1
"""


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
    job = _best(tx, types, open_queues(tx, queues, caps or {}, held_back), pool)
    if job is None:
        return None
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


def _best(tx: Tx, types: Sequence[str], queues: Sequence[str], pool: str | None) -> int | None:
    sql, more = (BEST_OF_PAIR, ()) if pool is None else (BEST_NOT_DECLINED, (pool,))
    heads = (tx.conn.execute(sql, (queue, kind, *more)).fetchone() for queue in queues for kind in types)
    best = min((head for head in heads if head is not None), default=None)
    return None if best is None else int(best[2])


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
