"""Storing new jobs. The same request again is the same job; other content under its name is a conflict.

A job whose unique key is taken is answered with the job that has it, or refused; one that waits for others begins
scheduled, and one whose conditions can never be met is stored and cancelled at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from supervisor.core.dependency import After
from supervisor.core.errors import RequestError
from supervisor.core.job import JobSpec
from supervisor.core.retry import OnLoss
from supervisor.core.state import JobState
from supervisor.store.batch import Tx
from supervisor.store.contents import keep, refer
from supervisor.store.dependencies import Conditions, begin_waiting, cancel_for_good, conditions_of
from supervisor.store.moment import LAST_US
from supervisor.store.queues import check_depth
from supervisor.store.unique import holder_of, key_taken

_encode: Final = msgspec.json.Encoder().encode
_NESTING: Final = 64


class NewJob(msgspec.Struct, frozen=True, kw_only=True):
    """A checked submit. `request_hash` is a digest of its content; `due_us` None means now.

    `inline` holds the small contents of `spec` by their sha256, which the caller has verified. `is_admin`: its
    submitter may see everybody's jobs. `max_queued` is the cap of those that wait in its queue.
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
    unique_key: str | None = None
    on_conflict: Literal["return", "refuse"] = "return"
    after: tuple[After, ...] = ()
    is_admin: bool = False
    max_queued: int | None = None


class Stored(NamedTuple):
    """The job of a submit, whether this call created it, and whether it is another one that has the unique key."""

    job: int
    created: bool
    existing: bool = False


def submit(tx: Tx, new: NewJob) -> Stored:
    """Stores the job.

    Raises RequestError `conflict` (the request_id is taken by other content, the unique key by another job),
    `not_found` (a job to wait for), `queue_full` or `bad_request`.
    """
    known = _known(tx, new)
    if known is not None:
        return Stored(known, created=False)
    holder = _holder(tx, new)
    if holder is not None:
        return Stored(holder, created=False, existing=True)
    conditions = conditions_of(tx, new.after, owner_uid=None if new.is_admin else new.owner_uid)
    is_due = new.due_us is None or new.due_us <= tx.now_us
    state = JobState.QUEUED if is_due and conditions == Conditions() else JobState.SCHEDULED
    if conditions.never is None:
        check_depth(tx, new.queue, new.max_queued)
    keep(tx, new.inline)
    job = _insert(tx, new, state, 0 if conditions.never else len(conditions.undecided))
    refer(tx, job, new.spec)
    tx.emit(job, "submitted", state, None, {"name": new.name, "type": new.type, "queue": new.queue})
    if conditions.never:
        cancel_for_good(tx, job, conditions.never)
    elif conditions.undecided:
        begin_waiting(tx, job, conditions.undecided)
    return Stored(job, created=True)


def submit_many(tx: Tx, jobs: Sequence[NewJob], known: Mapping[str, int]) -> list[Stored]:
    """Stores all of the jobs, in their order, or none; `known` are jobs by request_id that were stored before.

    `after` may name an earlier one by its request_id, also one that an existing job with its unique key stands for.
    Raises what `submit` raises, with the `place` of the one in question.
    """
    ids = dict(known)
    stored = []
    for place, new in enumerate(jobs):
        try:
            done = submit(tx, _with_ids(new, ids))
        except RequestError as error:
            raise RequestError(error.code, error.message, {**(error.data or {}), "place": place}) from None
        ids[new.request_id] = done.job
        stored.append(done)
    return stored


def _with_ids(new: NewJob, ids: Mapping[str, int]) -> NewJob:
    after = tuple(
        one
        if one.request_id is None or one.request_id not in ids
        else After(job=ids[one.request_id], condition=one.condition)
        for one in new.after
    )
    return new if after == new.after else msgspec.structs.replace(new, after=after)


def _holder(tx: Tx, new: NewJob) -> int | None:
    """The live job that stands for the new one; raises RequestError `conflict` where none may."""
    holder = None if new.unique_key is None else holder_of(tx, new.queue, new.unique_key)
    if holder is None or new.unique_key is None:
        return None
    visible = new.is_admin or holder.owner_uid == new.owner_uid
    if new.on_conflict == "refuse" or not visible:
        raise key_taken(new.queue, new.unique_key, holder, visible=visible)
    return holder.job


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


def _insert(tx: Tx, new: NewJob, state: JobState, waits: int) -> int:
    due_us = tx.now_us if new.due_us is None else new.due_us
    if not 0 <= due_us <= LAST_US:
        raise RequestError("bad_request", "the job would be due after the year 9999")
    cursor = tx.conn.execute(
        """
        INSERT INTO jobs (request_id, request_hash, owner_uid, name, type, queue, priority, state, due_us,
                          submitted_us, retries, on_loss, unique_key, waits, spec)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
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
            new.unique_key,
            waits,
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
