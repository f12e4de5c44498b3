"""What a client may ask, one struct an operation. Requests are strict: an unknown field is an error.

Each struct is one line on the wire, told apart by `op`. `id` is the client's number for the request; every answer
carries it. The docstring's first line is what `describe` and the protocol's page say of it.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from supervisor.core.dependency import MOST_AWAITED, After, RequestId
from supervisor.core.limits import LimitsRequest
from supervisor.core.retry import Backoff, OnLoss

Id = Annotated[int, Meta(ge=0, le=2**53)]
JobId = Annotated[int, Meta(ge=1, le=2**53)]
Attempt = Annotated[int, Meta(ge=1, le=2**53)]
# HAZARD: `$` alone would let a newline at the end pass.
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$(?!\n)")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
Label = Annotated[str, Meta(min_length=1, max_length=255)]
Seconds = Annotated[float, Meta(ge=0, le=3_162_240_000)]
Offset = Annotated[int, Meta(ge=0, le=2**53)]
Mode = Annotated[int, Meta(ge=0, le=0o777)]
Priority = Annotated[int, Meta(ge=-1000, le=1000)]
Retries = Annotated[int, Meta(ge=0, le=1000)]
Stream = Literal["stdout", "stderr"]
OnConflict = Literal["return", "refuse"]
State = Literal["scheduled", "queued", "running", "completed", "failed", "cancelled"]


class Request(msgspec.Struct, kw_only=True, tag_field="op", forbid_unknown_fields=True):
    """What every request has: `op` and the client's number for it."""

    id: Id


class Hello(Request, tag="hello"):
    """Names the range of protocol numbers that the client speaks. Optional; without it protocol 1 is spoken."""

    id: Id = 0
    protocol: tuple[int, int] = (1, 1)
    client: Annotated[str, Meta(max_length=64)] = ""


class Describe(Request, tag="describe"):
    """The JSON Schema of every request, and the tables of codes, states and reasons."""


class ContentRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that was `put` before, and where it goes in the job's folder. A `tar` is unpacked there."""

    sha256: Sha256
    path: Annotated[str, Meta(min_length=1, max_length=4096)] = "."
    mode: Mode = 0o644
    kind: Literal["file", "tar"] = "file"


class JobRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a submit says of its job: either `source` (up to 256 KiB), or `contents` with `main` for what was `put`."""

    request_id: RequestId
    name: Label | None = None
    type: Name | None = None
    source: str | None = None
    contents: Annotated[tuple[ContentRef, ...], Meta(max_length=1000)] = ()
    main: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    args: Annotated[tuple[str, ...], Meta(max_length=10_000)] = ()
    env: Annotated[dict[str, str], Meta(max_length=10_000)] = {}
    stdin: str | None = None
    stdin_sha256: Sha256 | None = None
    params: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"null"))
    queue: Name = "default"
    priority: Priority = 0
    delay_s: Seconds | None = None
    due_at: str | None = None
    limits: LimitsRequest = LimitsRequest()
    retries: Retries | None = None
    backoff: Backoff | None = None
    on_loss: OnLoss | None = None
    network: bool | None = None
    isolation: Name | None = None
    merge: bool = False
    unique_key: Label | None = None
    on_conflict: OnConflict = "return"
    after: Annotated[tuple[After, ...], Meta(max_length=MOST_AWAITED)] = ()
    webhook: Annotated[str, Meta(min_length=1, max_length=2048)] | None = None


class Submit(JobRequest, tag_field="op", tag="submit"):
    """Stores a job; answers when it is durable. The same `request_id` again answers with the same job.

    Either `source` (the text of the script, up to 256 KiB) or `contents` with `main` for what was `put`.
    """

    id: Id


class SubmitMany(Request, tag="submit_many"):
    """Stores up to 1000 jobs in one transaction, in their order, or none; answers when they are durable.

    `after` of a job may name an earlier one by its `request_id`. The same requests again answer with the same jobs.
    """

    jobs: Annotated[tuple[JobRequest, ...], Meta(min_length=1, max_length=1000)]


class Put(Request, tag="put"):
    """Stores one piece of a large file under its final sha256. Pieces come in order; the last one completes it.

    Answers with the offset that is expected next, and whether the content is complete. An empty piece asks.
    """

    sha256: Sha256
    size: Offset
    offset: Offset = 0
    data: Annotated[str, Meta(max_length=1_000_000)] = ""


class Show(Request, tag="show"):
    """One job, whole: its record, limits, attempts, progress and result."""

    job: JobId


class Explain(Request, tag="explain"):
    """Why a job does not run yet, or why it died: sentences, each with the option or setting that would change it."""

    job: JobId


class List(Request, tag="list"):
    """Jobs, newest first, a page at a time: `before` is the last id of the page before."""

    states: Annotated[tuple[State, ...], Meta(max_length=6)] = ()
    queue: Name | None = None
    type: Name | None = None
    name: Label | None = None
    mine: bool = False
    before: JobId | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 50


class Logs(Request, tag="logs"):
    """A range of an attempt's output, at most 512 KiB; the last attempt's unless told otherwise."""

    job: JobId
    stream: Stream = "stdout"
    attempt: Attempt | None = None
    offset: Offset = 0
    length: Annotated[int, Meta(ge=0, le=524_288)] = 262_144


class Artifacts(Request, tag="artifacts"):
    """The files that an attempt left in its output folder, a page at a time: `after` is the last number before it."""

    job: JobId
    attempt: Attempt | None = None
    after: Offset = 0


class Artifact(Request, tag="artifact"):
    """A range of the bytes of one artifact, at most 512 KiB; `index` is its number in `artifacts`."""

    job: JobId
    index: Annotated[int, Meta(ge=1, le=1_000_000)]
    attempt: Attempt | None = None
    offset: Offset = 0
    length: Annotated[int, Meta(ge=0, le=524_288)] = 524_288


class Follow(Request, tag="follow"):
    """Streams a job's events and output until it is final. Resumes after event `after` at the given offsets."""

    job: JobId
    after: Offset = 0
    attempt: Attempt | None = None
    stdout: Offset = 0
    stderr: Offset = 0
    output: bool = True


class Wait(Request, tag="wait"):
    """Streams each of the jobs as it becomes final."""

    jobs: Annotated[tuple[JobId, ...], Meta(min_length=1, max_length=10_000)]
    timeout_s: Seconds | None = None


class Cancel(Request, tag="cancel"):
    """Cancels a job; answers when that is committed. A running one is ended: `wait` says when it is gone."""

    job: JobId
    reason: Annotated[str, Meta(max_length=1000)] | None = None


class Retry(Request, tag="retry"):
    """Queues a job again that is completed, failed or cancelled."""

    job: JobId


class Delete(Request, tag="delete"):
    """Removes a job for good, with its output; answers when it is gone. One that runs must be cancelled first."""

    job: JobId


class Prune(Request, tag="prune"):
    """Removes jobs by state, queue and age, and streams which; with none of these, what retention says."""

    states: Annotated[tuple[State, ...], Meta(max_length=6)] = ()
    queue: Name | None = None
    older_than_s: Seconds | None = None
    dry_run: bool = False


class Pause(Request, tag="pause"):
    """Lets no more jobs of these queues start (none named: of no queue); answers when that is durable."""

    queues: Annotated[tuple[Name, ...], Meta(max_length=1000)] = ()


class Resume(Request, tag="resume"):
    """Lets jobs of these queues start again (none named: of all); answers when that is durable."""

    queues: Annotated[tuple[Name, ...], Meta(max_length=1000)] = ()


class Backup(Request, tag="backup"):
    """Makes a checked copy of the queue, and streams one item when it is there to be fetched."""


class BackupPiece(Request, tag="backup_piece"):
    """A range of the bytes of a copy that `backup` has made, at most 512 KiB."""

    backup: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$(?!\n)")]
    offset: Offset = 0
    length: Annotated[int, Meta(ge=1, le=524_288)] = 524_288


class Status(Request, tag="status"):
    """The daemon at a glance: version, state, counts by state, workers, isolation."""


class Workers(Request, tag="workers"):
    """Each worker: what it does now, when its loop turned last, and what it has done since the database began."""


class Stats(Request, tag="stats"):
    """Totals by state, queue and pool; what finished of late, how long it took, and why jobs failed."""


class Events(Request, tag="events"):
    """Streams what happened to jobs, workers and the daemon, oldest first: to the present, or on and on."""

    after: Offset | None = None
    job: JobId | None = None
    limit: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    follow: bool = False


class Health(Request, tag="health"):
    """Whether the daemon is well, and if not, why."""


class Token(Request, tag="token"):
    """A secret of the HTTP side, and where HTTP is served: the bearer token of a role, or the key of webhooks."""

    role: Literal["read", "write", "webhook"] = "write"


class Doctor(Request, tag="doctor"):
    """Checks of the machine and the state folder: each `ok`, `warn`, `fail` or `skipped`, with what to do."""


class Scale(Request, tag="scale"):
    """So many workers for a pool from now on. Surplus ones finish their job first. A reload sets what the file says."""

    pool: Annotated[str, Meta(min_length=1, max_length=64)]
    replicas: Annotated[int, Meta(ge=0, le=1024)]


class Restart(Request, tag="restart"):
    """Replaces the workers of a pool, or of all, one at a time, each after its job; releases parked ones at once."""

    pool: Annotated[str, Meta(min_length=1, max_length=64)] | None = None


class Reload(Request, tag="reload"):
    """Reads the settings again and applies them; what is wrong changes nothing. Answers when that is done."""


class Upgrade(Request, tag="upgrade"):
    """Tries the new code, and goes over to it in place if it is fit. `python`: the interpreter that has it."""

    python: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None


class Drain(Request, tag="drain"):
    """Starts no more jobs until told otherwise (`on` false); running ones go on, submits are accepted."""

    on: bool = True


class Stop(Request, tag="stop"):
    """Stops the daemon: running jobs may finish within `shutdown_timeout`, then they go back to the queue."""


ClientRequest = (
    Hello
    | Describe
    | Submit
    | SubmitMany
    | Put
    | Show
    | Explain
    | List
    | Logs
    | Artifacts
    | Artifact
    | Follow
    | Wait
    | Cancel
    | Retry
    | Delete
    | Prune
    | Pause
    | Resume
    | Backup
    | BackupPiece
    | Status
    | Workers
    | Stats
    | Events
    | Health
    | Token
    | Doctor
    | Scale
    | Restart
    | Reload
    | Drain
    | Stop
    | Upgrade
)
