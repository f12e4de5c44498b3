"""Storing a new job. The same request again is the same job; other content under its name is a conflict."""

from __future__ import annotations

from typing import Final

import msgspec

from supervisor.core.errors import RequestError
from supervisor.core.job import JobSpec
from supervisor.core.retry import OnLoss
from supervisor.core.state import JobState
from supervisor.store.batch import Tx
from supervisor.store.contents import keep
from supervisor.store.moment import LAST_US

_encode: Final = msgspec.json.Encoder().encode
_NESTING: Final = 64


class NewJob(msgspec.Struct, frozen=True, kw_only=True):
    """A checked submit. `request_hash` is a digest of its content; `due_us` None means now.

    `inline` holds the small contents of `spec` by their sha256, which the caller has verified.
    """

    request_id: str
    request_hash: str
    owner_uid: int
    name: str
    type: str
    queue: str
    priority: int
    retries: int
    on_loss: OnLoss
    spec: JobSpec
    due_us: int | None = None
    inline: dict[str, bytes] = {}


def submit(tx: Tx, new: NewJob) -> tuple[int, bool]:
    """Stores the job; returns its id, and whether this call created it.

    Raises RequestError `conflict` (the request_id is taken by other content) or `bad_request`.
    """
    known = _known(tx, new)
    if known is not None:
        return known, False
    state = JobState.QUEUED if new.due_us is None or new.due_us <= tx.now_us else JobState.SCHEDULED
    keep(tx, new.inline)
    job = _insert(tx, new, state)
    tx.emit(job, "submitted", state, None, {"name": new.name, "type": new.type, "queue": new.queue})
    return job, True


def _known(tx: Tx, new: NewJob) -> int | None:
    row = tx.conn.execute(
        "SELECT id, request_hash, owner_uid FROM jobs WHERE request_id = ?", (new.request_id,)
    ).fetchone()
    if row is None:
        return None
    job, request_hash, owner_uid = row
    if request_hash != new.request_hash or owner_uid != new.owner_uid:
        raise RequestError(
            "conflict",
            f"the request_id {new.request_id!r} was used before for another submit: "
            "repeat exactly the same one, or take a new request_id",
        )
    return int(job)


def _insert(tx: Tx, new: NewJob, state: JobState) -> int:
    due_us = tx.now_us if new.due_us is None else new.due_us
    if not 0 <= due_us <= LAST_US:
        raise RequestError("bad_request", "the job would be due after the year 9999")
    cursor = tx.conn.execute(
        """
        INSERT INTO jobs (request_id, request_hash, owner_uid, name, type, queue, priority, state, due_us,
                          submitted_us, retries, on_loss, spec)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            new.request_id,
            new.request_hash,
            new.owner_uid,
            new.name,
            new.type,
            new.queue,
            new.priority,
            state,
            due_us,
            tx.now_us,
            new.retries,
            new.on_loss,
            _spec_text(new.spec),
        ),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _spec_text(spec: JobSpec) -> str:
    # HAZARD: the JSON decoder gives up at a depth that depends on its caller. A job that this process can store but
    # a claim cannot read again would stay at the head of its queue for ever, so some depth is kept in reserve.
    try:
        msgspec.json.decode(b"[" * _NESTING + bytes(spec.params) + b"]" * _NESTING)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RequestError("bad_request", f"params: not usable as JSON: {error}") from None
    return _encode(spec).decode()
