"""What a client may ask, one struct an operation. Requests are strict: an unknown field is an error.

Each struct is one line on the wire, told apart by `op`. `id` is the client's number for the request; every answer
carries it. The docstring's first line is what `describe` and the protocol's page say of it.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from supervisor.core.limits import LimitsRequest
from supervisor.core.retry import Backoff, OnLoss

Id = Annotated[int, Meta(ge=0, le=2**53)]
JobId = Annotated[int, Meta(ge=1, le=2**53)]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
RequestId = Annotated[str, Meta(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Label = Annotated[str, Meta(min_length=1, max_length=255)]
Seconds = Annotated[float, Meta(ge=0, le=3_162_240_000)]
Offset = Annotated[int, Meta(ge=0, le=2**53)]
Mode = Annotated[int, Meta(ge=0, le=0o777)]
Priority = Annotated[int, Meta(ge=-1000, le=1000)]
Retries = Annotated[int, Meta(ge=0, le=1000)]
Stream = Literal["stdout", "stderr"]
State = Literal["scheduled", "queued", "running", "completed", "failed", "cancelled"]


class Request(msgspec.Struct, kw_only=True, tag_field="op", forbid_unknown_fields=True):
    """What every request has: `op` and the client's number for it."""

    id: Id


class Hello(Request, tag="hello"):
    """Names the range of protocol numbers that the client speaks. Optional; without it protocol 1 is spoken."""

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


class Submit(Request, tag="submit"):
    """Stores a job; answers when it is durable. The same `request_id` again answers with the same job.

    Either `source` (the text of the script, up to 256 KiB) or `contents` with `main` for what was `put`.
    """

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
    before: JobId | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 50


class Logs(Request, tag="logs"):
    """A range of an attempt's output, at most 512 KiB; the last attempt's unless told otherwise."""

    job: JobId
    stream: Stream = "stdout"
    attempt: Annotated[int, Meta(ge=1)] | None = None
    offset: Offset = 0
    length: Annotated[int, Meta(ge=0, le=524_288)] = 262_144


class Artifacts(Request, tag="artifacts"):
    """The files that an attempt left in its output folder, a page at a time: `after` is the last number before it."""

    job: JobId
    attempt: Annotated[int, Meta(ge=1)] | None = None
    after: Offset = 0


class Artifact(Request, tag="artifact"):
    """A range of the bytes of one artifact, at most 512 KiB; `index` is its number in `artifacts`."""

    job: JobId
    index: Annotated[int, Meta(ge=1, le=1_000_000)]
    attempt: Annotated[int, Meta(ge=1)] | None = None
    offset: Offset = 0
    length: Annotated[int, Meta(ge=0, le=524_288)] = 524_288


class Follow(Request, tag="follow"):
    """Streams a job's events and output until it is final. Resumes after event `after` at the given offsets."""

    job: JobId
    after: Offset = 0
    attempt: Annotated[int, Meta(ge=1)] | None = None
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


class Status(Request, tag="status"):
    """The daemon at a glance: version, state, counts by state, workers, isolation."""


class Health(Request, tag="health"):
    """Whether the daemon is well, and if not, why."""


class Doctor(Request, tag="doctor"):
    """Checks of the machine and the state folder: each `ok`, `warn`, `fail` or `skipped`, with what to do."""


class Stop(Request, tag="stop"):
    """Stops the daemon: running jobs may finish within `shutdown_timeout`, then they go back to the queue."""


ClientRequest = (
    Hello
    | Describe
    | Submit
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
    | Status
    | Health
    | Doctor
    | Stop
)
