"""What HTTP takes and gives, as types: requests are checked by them, and the OpenAPI document is made of them.

Answers are the control protocol's own JSON, passed on as they come; these types say what is in it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from supervisor.core.dependency import RequestId
from supervisor.wire.control import JobId, Label, Name, Offset, OnConflict, State, Stream

Duration = Annotated[
    Annotated[float, Meta(ge=0, le=3_162_240_000)] | Annotated[str, Meta(max_length=64)],
    Meta(description="seconds, or a text such as 250ms, 90s or 1h30m", examples=[30, "1h30m"]),
]
Limit = Annotated[Duration | None, Meta(description="a duration; null or `none`: no limit")]
Size = Annotated[
    Annotated[int, Meta(ge=0, le=2**53)] | Annotated[str, Meta(max_length=64)] | None,
    Meta(description="bytes, or a text such as 512M (powers of 1024); null or `none`: no limit"),
]
Count = Annotated[
    Annotated[int, Meta(ge=0, le=2**53)] | Literal["none"] | None,
    Meta(description="a number; null or `none`: no limit"),
]
Moment = Annotated[str, Meta(description="RFC 3339, UTC, with six decimals", examples=["2026-01-02T03:04:05.123456Z"])]
Awaited = Annotated[
    JobId | Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,15}(:(ok|any|fail))?$(?!\n)")],
    Meta(description="a job's id, or ID:ok, ID:any, ID:fail: how it must end"),
]


class Options(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How a job is to be run: the options of `workerctl submit`, under the same names. What is unset is the pool's."""

    name: Label | None = None
    type: Name | None = None
    args: Annotated[list[str], Meta(max_length=10_000)] = []
    env: Annotated[dict[str, str], Meta(max_length=10_000)] = {}
    stdin: Annotated[str, Meta(max_length=262_144)] | None = None
    params: Any = None
    queue: Name = "default"
    priority: Annotated[int, Meta(ge=-1000, le=1000)] = 0
    delay: Duration | None = None
    at: Annotated[str, Meta(max_length=64, description="not before this moment, ISO 8601")] | None = None
    timeout: Limit | msgspec.UnsetType = msgspec.UNSET
    cpu: Limit | msgspec.UnsetType = msgspec.UNSET
    memory: Size | msgspec.UnsetType = msgspec.UNSET
    processes: Count | msgspec.UnsetType = msgspec.UNSET
    open_files: Count | msgspec.UnsetType = msgspec.UNSET
    file_size: Size | msgspec.UnsetType = msgspec.UNSET
    disk: Size | msgspec.UnsetType = msgspec.UNSET
    output: Size | msgspec.UnsetType = msgspec.UNSET
    retries: Annotated[int, Meta(ge=0, le=1000)] | None = None
    backoff: Annotated[str, Meta(max_length=64, description="BASE[,FACTOR[,CAP]], such as 2s,2,10m")] | None = None
    on_loss: Literal["requeue", "fail"] | None = None
    network: bool | None = None
    isolation: Name | None = None
    merge: bool = False
    unique: Label | None = None
    on_conflict: OnConflict = "return"
    after: Annotated[list[Awaited], Meta(max_length=1000)] = []
    request_id: RequestId | None = None
    webhook: Annotated[str, Meta(min_length=1, max_length=2048)] | None = None


class NewJob(Options):
    """A job: its script is `code`. One for a handler has a `type` of that handler, `params` and no `code`."""

    code: str | None = None


class Limits(msgspec.Struct):
    """What each attempt may use; null is no limit."""

    wall_s: float | None
    cpu_s: float | None
    memory_bytes: int | None
    processes: int | None
    open_files: int | None
    file_size_bytes: int | None
    disk_bytes: int | None
    output_bytes: int | None


class Progress(msgspec.Struct):
    """How far a job says it is."""

    percentage: float | None
    stage: str | None
    message: str | None


class Attempt(msgspec.Struct):
    """One start of a job's process. What is not known yet is null."""

    number: int
    worker: str
    isolation: str | None
    reason: str | None
    exit_code: int | None
    signal: str | None
    evidence: str | None
    started_at: Moment
    finished_at: Moment | None
    wall_s: float | None
    cpu_s: float | None
    peak_memory_bytes: int | None
    stdout_bytes: int | None
    stderr_bytes: int | None
    leftover_killed: int | None
    message: str | None


class JobBrief(msgspec.Struct, kw_only=True):
    """The record of a job as lists have it."""

    id: JobId
    name: str
    type: str
    queue: str
    priority: int
    state: State
    reason: str | None
    message: str | None
    exit_code: int | None
    signal: str | None
    attempt: int
    retries: int
    submitted_at: Moment
    due_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    waiting_for: list[int]
    limits: Limits
    progress: Progress | None


class Job(JobBrief, kw_only=True):
    """The record of a job, whole. See PROTOCOL.md for what each member means."""

    result: Any
    attempts: list[Attempt]


class SubmittedJob(Job, kw_only=True):
    """The record of the job that was made or found, and what its submitter should hear."""

    created: bool
    warnings: list[str]


class JobPage(msgspec.Struct):
    """Jobs, newest first; `next` is the `before` of the next page, null after the last."""

    jobs: list[JobBrief]
    next: int | None


class Artifact(msgspec.Struct):
    """A file that an attempt left."""

    index: int
    name: str
    size: int
    mode: int


class ArtifactList(msgspec.Struct):
    """The files of one attempt."""

    attempt: int | None
    ended: bool
    artifacts: list[Artifact]


class Worker(msgspec.Struct):
    """A worker slot, what it does and has done."""

    name: str
    pool: str
    state: str
    pid: int | None
    job: int | None
    done: int
    failed: int
    restarts: int
    note: str
    cpu_s: float | None
    memory_bytes: int | None


class WorkerList(msgspec.Struct):
    """Every worker slot."""

    workers: list[Worker]


class Queue(msgspec.Struct):
    """A queue: how many jobs are in which state, and whether it is paused."""

    name: str
    jobs: dict[str, int]
    paused: bool


class QueueList(msgspec.Struct):
    """Every queue that has jobs, is paused or has settings."""

    queues: list[Queue]


class Minute(msgspec.Struct):
    """One minute by the clock: how many jobs were queued at its end, how many ended in it."""

    at: Moment
    queued: int
    completed: int
    failed: int
    cancelled: int


class Stats(msgspec.Struct):
    """How much there is, how fast it goes, and why it fails. See PROTOCOL.md, `stats`."""

    at: Moment
    jobs: dict[str, int]
    queues: list[dict[str, Any]]
    pools: list[dict[str, Any]]
    finished: dict[str, Any]
    minutes: list[Minute]
    times: dict[str, Any]
    failures: list[dict[str, Any]]


class TokenRole(msgspec.Struct):
    """The role of the token that was sent: `read` may look, `write` may do everything."""

    role: Literal["read", "write"]


class PoolWorkers(msgspec.Struct):
    """How many workers of a pool are in which state."""

    pool: str
    workers: dict[str, int]


class HealthReport(msgspec.Struct):
    """Whether the daemon is well: `unreachable` while no broker answers."""

    status: Literal["healthy", "degraded", "unreachable"]
    reasons: list[str]
    state: str | None = None
    uptime_s: float | None = None
    version: str | None = None
    pools: list[PoolWorkers] = []
    oldest_queued_s: float | None = None


class ListQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which jobs; `state` may be given several times."""

    state: Annotated[list[State], Meta(max_length=6)] = []
    queue: Name | None = None
    type: Name | None = None
    name: Label | None = None
    before: JobId | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 50


class LogsQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which bytes: of the last attempt unless told otherwise, from `offset` on, at most `length`."""

    stream: Stream = "stdout"
    attempt: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    offset: Offset = 0
    length: Offset | None = None


class AttemptQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Of which attempt; the last one unless told."""

    attempt: Annotated[int, Meta(ge=1, le=2**53)] | None = None


class CancelQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why it is cancelled, for people."""

    reason: Annotated[str, Meta(max_length=1000)] | None = None


class JobEventsQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """From where on. `Last-Event-ID` says the same as `after`, and wins. The offsets are those of `attempt`."""

    after: Offset | None = None
    attempt: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    stdout: Offset = 0
    stderr: Offset = 0
    output: bool = True


class EventsQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """From where on: without `after` and `Last-Event-ID`, from now on."""

    after: Offset | None = None
    job: JobId | None = None


class Nothing(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """No parameters."""
