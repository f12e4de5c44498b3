"""What `explain` asks of a job beyond its record, and how many jobs are before it. Small questions, bounded counts."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from supervisor.core.retry import RETRYABLE, Backoff


class Standing(NamedTuple):
    """A job's counts since its last manual retry, its moments, who cancelled it, and what it was submitted with."""

    failures: int
    losses: int
    on_loss: str
    due_us: int
    started_us: int | None
    cancelled_by: int | None
    cancel_reason: str | None
    isolation: str
    backoff: Backoff
    retry_on: tuple[str, ...] = RETRYABLE


class Place(NamedTuple):
    """Where a job stands among those of its queue and type: greater priority, then earlier due, then smaller id."""

    priority: int
    due_us: int
    job: int


class _Asked(msgspec.Struct):
    isolation: str = "auto"
    backoff: Backoff = Backoff()
    retry_on: tuple[str, ...] = RETRYABLE


_decode_asked: Final = msgspec.json.Decoder(_Asked).decode

BEFORE: Final = """
    SELECT count(*) FROM (
        SELECT 1 FROM jobs INDEXED BY jobs_claim
        WHERE state = 'queued' AND queue = :queue AND type = :type AND priority > :priority
        UNION ALL
        SELECT 1 FROM jobs INDEXED BY jobs_claim
        WHERE state = 'queued' AND queue = :queue AND type = :type AND priority = :priority AND due_us < :due_us
        UNION ALL
        SELECT 1 FROM jobs INDEXED BY jobs_claim
        WHERE state = 'queued' AND queue = :queue AND type = :type AND priority = :priority AND due_us = :due_us
          AND id < :job
        LIMIT :most
    )
"""


def standing_of(conn: sqlite3.Connection, job: int) -> Standing | None:
    """None if there is no such job."""
    row = conn.execute(
        """
        SELECT failures, losses, on_loss, due_us, started_us, cancelled_by, cancel_reason, spec
        FROM jobs WHERE id = ?
        """,
        (job,),
    ).fetchone()
    if row is None:
        return None
    failures, losses, on_loss, due_us, started_us, cancelled_by, cancel_reason, spec = row
    asked = _decode_asked(spec)
    return Standing(
        failures,
        losses,
        on_loss,
        due_us,
        started_us,
        cancelled_by,
        cancel_reason,
        asked.isolation,
        asked.backoff,
        asked.retry_on,
    )


def jobs_before(
    conn: sqlite3.Connection, place: Place, *, queues: Sequence[str], types: Sequence[str], most: int
) -> int:
    """How many queued jobs of these queues and types a worker takes before the one at `place`; counts to `most`."""
    count = 0
    for queue in queues:
        for kind in types:
            if count >= most:
                return most
            asked = {**place._asdict(), "queue": queue, "type": kind, "most": most - count}
            count += conn.execute(BEFORE, asked).fetchone()[0]
    return count
