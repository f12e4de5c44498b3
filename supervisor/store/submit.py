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
from supervisor.store.batch import Joinable, Tx
from supervisor.store.contents import keep, needed_by
from supervisor.store.dependencies import Conditions, begin_waiting, cancel_for_good, conditions_of
from supervisor.store.gathered import Gathered
from supervisor.store.moment import LAST_US
from supervisor.store.queues import check_depth, waiting_in
from supervisor.store.reads import Made, jobs_of_requests
from supervisor.store.unique import holder_of, key_taken

_encode: Final = msgspec.json.Encoder().encode
_NESTING: Final = 64
_NO_PARAMS: Final = b"null"
_NO_CONDITIONS: Final = Conditions()


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
    return submit_many(tx, [new], {}, tell_place=False)[0]


def submit_many(tx: Tx, jobs: Sequence[NewJob], known: Mapping[str, int], *, tell_place: bool = True) -> list[Stored]:
    """Stores all of the jobs, in their order, or none; `known` are jobs by request_id that were stored before.

    `after` may name an earlier one by its request_id, also one that an existing job with its unique key stands for.
    Raises what `submit` raises, with the `place` of the one in question.
    """
    storing = _Storing(tx, jobs)
    ids = dict(known)
    stored = []
    for place, new in enumerate(jobs):
        try:
            done = storing.store(_with_ids(new, ids) if new.after else new)
        except RequestError as error:
            if not tell_place:
                raise
            raise RequestError(error.code, error.message, {**(error.data or {}), "place": place}) from None
        ids[new.request_id] = done.job
        stored.append(done)
    storing.write()
    return stored


class Submission(Joinable[Stored]):
    """`submit` as a call of a batch. Neighbours are stored together, and refused each for itself."""

    __slots__ = ("new",)

    def __init__(self, new: NewJob) -> None:
        self.new = new

    def __call__(self, tx: Tx) -> Stored:
        """Stores it alone."""
        return submit(tx, self.new)

    @classmethod
    def run_all(cls, tx: Tx, calls: Sequence[Joinable[Stored]]) -> list[Stored | Exception]:
        """Stores them one after the other. A refusal comes before anything of its job is written."""
        news = [call.new for call in calls if isinstance(call, Submission)]
        storing = _Storing(tx, news)
        stored: list[Stored | Exception] = []
        for new in news:
            try:
                stored.append(storing.store(new))
            except RequestError as error:
                stored.append(error)
        storing.write()
        return stored


class _Storing:
    """Stores the jobs of one call one after the other, and remembers what it need not look up again.

    HAZARD: what is gathered is not in the tables yet. Whatever reads them for more than these memories hold, and
    whatever emits an event, is preceded by `write`.
    """

    def __init__(self, tx: Tx, jobs: Sequence[NewJob]) -> None:
        self._tx = tx
        self._gathered = Gathered(tx)
        self._requests = jobs_of_requests(tx.conn, [new.request_id for new in jobs])
        self._waiting: dict[str, int] = {}
        self._keys: set[tuple[str, str]] = set()
        self._kept: set[str] = set()

    def write(self) -> None:
        """Must be called in the end: until then nothing may be in the tables yet."""
        self._gathered.write()
        self._keys.clear()

    def store(self, new: NewJob) -> Stored:
        """Stores one; a RequestError leaves nothing of it behind."""
        known = self._known(new)
        if known is not None:
            return Stored(known, created=False)
        holder = self._holder(new)
        if holder is not None:
            return Stored(holder, created=False, existing=True)
        conditions = self._conditions(new)
        if conditions.never is None:
            self._check_depth(new)
        job = self._add(new, conditions)
        self._requests[new.request_id] = Made(job, new.request_hash, new.owner_uid)
        if conditions.never:
            self.write()
            cancel_for_good(self._tx, job, conditions.never)
        elif conditions.undecided:
            self.write()
            begin_waiting(self._tx, job, conditions.undecided)
        if conditions.never is None and new.queue in self._waiting:
            self._waiting[new.queue] += 1
        return Stored(job, created=True)

    def _known(self, new: NewJob) -> int | None:
        """The job that this very request has made before; raises RequestError where another one has."""
        found = self._requests.get(new.request_id)
        if found is None:
            return None
        if (found.request_hash, found.owner_uid) != (new.request_hash, new.owner_uid):
            raise RequestError(
                "conflict",
                f"the request_id {new.request_id!r} was used before for another submit: "
                "repeat exactly the same one, or take a new request_id",
            )
        return found.job

    def _holder(self, new: NewJob) -> int | None:
        """The live job that stands for the new one; raises RequestError `conflict` where none may."""
        if new.unique_key is None:
            return None
        if (new.queue, new.unique_key) in self._keys:
            self.write()
        holder = holder_of(self._tx, new.queue, new.unique_key)
        if holder is None:
            return None
        visible = new.is_admin or holder.owner_uid == new.owner_uid
        if new.on_conflict == "refuse" or not visible:
            raise key_taken(new.queue, new.unique_key, holder, visible=visible)
        return holder.job

    def _conditions(self, new: NewJob) -> Conditions:
        if not new.after:
            return _NO_CONDITIONS
        self.write()
        return conditions_of(self._tx, new.after, owner_uid=None if new.is_admin else new.owner_uid)

    def _check_depth(self, new: NewJob) -> None:
        if new.max_queued is None:
            return
        if new.queue not in self._waiting:
            self.write()
            self._waiting[new.queue] = waiting_in(self._tx, new.queue)
        check_depth(new.queue, self._waiting[new.queue], new.max_queued)

    def _add(self, new: NewJob, conditions: Conditions) -> int:
        now_us = self._tx.now_us
        due_us = now_us if new.due_us is None else new.due_us
        if not 0 <= due_us <= LAST_US:
            raise RequestError("bad_request", "the job would be due after the year 9999")
        is_due = due_us <= now_us and conditions == _NO_CONDITIONS
        state = str(JobState.QUEUED if is_due else JobState.SCHEDULED)
        spec = _spec_text(new.spec)
        for sha256, content in new.inline.items():
            if sha256 not in self._kept:
                keep(self._tx, sha256, content)
                self._kept.add(sha256)
        if new.unique_key is not None:
            self._keys.add((new.queue, new.unique_key))
        data = {"name": new.name, "type": new.type, "queue": new.queue}
        return self._gathered.add(
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
                now_us,
                new.retries,
                new.on_loss,
                new.unique_key,
                0 if conditions.never else len(conditions.undecided),
                spec,
            ),
            needed_by(new.spec),
            (state, data, _encode(data).decode()),
        )


def _with_ids(new: NewJob, ids: Mapping[str, int]) -> NewJob:
    after = tuple(
        one
        if one.request_id is None or one.request_id not in ids
        else After(job=ids[one.request_id], condition=one.condition)
        for one in new.after
    )
    return new if after == new.after else msgspec.structs.replace(new, after=after)


def _spec_text(spec: JobSpec) -> str:
    # HAZARD: the JSON decoder gives up at a depth that depends on its caller. A job that this process can store but
    # a claim cannot read again would stay at the head of its queue for ever, so some depth is kept in reserve.
    params = bytes(spec.params)
    try:
        if params != _NO_PARAMS:
            msgspec.json.decode(b"[" * _NESTING + params + b"]" * _NESTING)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RequestError("bad_request", f"params: not usable as JSON: {error}") from None
    return _encode(spec).decode()
