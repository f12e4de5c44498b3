"""Unique keys: in a queue at most one scheduled, queued or running job has a given key. The index enforces it again.

What is said of the job that has a key never tells more than the asker may see.
"""

from __future__ import annotations

from typing import NamedTuple

from supervisor.core.errors import RequestError
from supervisor.store.batch import Tx


class Holder(NamedTuple):
    """The live job that has a key."""

    job: int
    state: str
    owner_uid: int


def holder_of(tx: Tx, queue: str, key: str) -> Holder | None:
    """The scheduled, queued or running job of `queue` that has `key`; None if the key is free."""
    row = tx.conn.execute(
        """
        SELECT id, state, owner_uid FROM jobs INDEXED BY jobs_unique
        WHERE queue = ? AND unique_key = ? AND state IN ('scheduled', 'queued', 'running')
        """,
        (queue, key),
    ).fetchone()
    return None if row is None else Holder(*row)


def key_taken(queue: str, key: str, holder: Holder, *, visible: bool) -> RequestError:
    """The refusal; it names the job only to those who may see it."""
    if not visible:
        return RequestError("conflict", f"the unique key {key!r} is taken in queue {queue}", {"unique_key": key})
    return RequestError(
        "conflict",
        f"job {holder.job}, which is {holder.state}, has the unique key {key!r} in queue {queue}: "
        "wait for it, cancel it, or take another key",
        {"unique_key": key, "job": holder.job, "state": holder.state},
    )
