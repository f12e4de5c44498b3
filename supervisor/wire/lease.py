"""What a worker and the broker say to each other, on the same socket and in the same frames as clients.

Only a live worker of the arbiter's fleet may send these; the peer's pid decides.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from supervisor.core.job import LARGEST_BATCH, JobSpec, Progress
from supervisor.core.outcome import Outcome
from supervisor.wire.control import Request

NULL = msgspec.Raw(b"null")
LeaseId = Annotated[int, Meta(ge=1, le=2**53)]
BatchSize = Annotated[int, Meta(ge=1, le=LARGEST_BATCH)]


class OfWorker(Request, forbid_unknown_fields=False):
    """While the daemon is upgraded, workers of one release speak with a broker of another: what a newer one adds is
    passed over, what an older one does not know has a default."""


class Attach(OfWorker, tag="attach"):
    """A worker says who it is and which leases it holds: running, or ended and not yet acknowledged.

    `isolation` is the level it gives jobs that ask for `auto`, `isolation_notes` say of each stronger level why not,
    `isolation_remedies` what would enable it; `interpreters` are versions by type, `missing` says of each absent one
    why; `types` are the job types that it was started for, or that its handler's class names. The answers are a stream
    of `Order`s that lasts as long as the connection.
    """

    incarnation: str
    worker: str
    pool: str
    holding: tuple[LeaseId, ...] = ()
    isolation: str = ""
    isolation_notes: dict[str, str] = {}
    isolation_remedies: dict[str, str] = {}
    enforced: dict[str, str] = {}
    interpreters: dict[str, str] = {}
    missing: dict[str, str] = {}
    types: tuple[str, ...] = ()
    version: str = ""


class Next(OfWorker, tag="next"):
    """Asks for a lease, or for so many at `most`; the answer, `Leased`, comes when there is one."""

    most: BatchSize = 1


class Settle(OfWorker, tag="settle"):
    """How the attempt of a lease ended. Repeated until acknowledged; `next` asks for more at once, for `most` leases.

    `result` is what the job said, `null` if it said nothing. `waited_s`: for so long the lease was in the worker's
    hands before its attempt began.
    """

    lease: LeaseId
    outcome: Outcome
    isolation: str = ""
    result: msgspec.Raw = NULL
    progress: Progress | None = None
    next: bool = False
    most: BatchSize = 1
    waited_s: Annotated[float, Meta(ge=0)] = 0.0


class Release(OfWorker, tag="release"):
    """Gives a lease back whose attempt never started a process: it leaves no attempt behind.

    `declined`: the worker's handler does not want the job, so that its pool is not asked for it again.
    """

    lease: LeaseId
    declined: bool = False


class Standby(OfWorker, tag="standby"):
    """What an idle worker keeps ready: `spare` is the type of the interpreter that waits, booted, for its next job;
    `prestart` says of each interpreter `on`, or why it is not pre-started."""

    spare: str | None = None
    prestart: dict[str, str] = {}


class Report(OfWorker, tag="report"):
    """The newest progress of a running attempt."""

    lease: LeaseId
    progress: Progress


WorkerRequest = Attach | Next | Settle | Release | Standby | Report


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of one job, given to one worker. `inline` holds base64 of the small contents by sha256."""

    lease: int
    job: int
    attempt: int
    name: str
    type: str
    queue: str
    spec: JobSpec
    inline: dict[str, str] = {}


class Leased(Lease, frozen=True, kw_only=True):
    """The answer to `next`: a lease, and those that are run after it, in their order."""

    more: tuple[Lease, ...] = ()


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """The acknowledgement of a settle. `state` is where the job is now; `lease` the next one if there was one, and
    `more` those that are run after it."""

    state: str
    lease: Lease | None = None
    more: tuple[Lease, ...] = ()

    @property
    def leases(self) -> tuple[Lease, ...]:
        """All that were given."""
        return () if self.lease is None else (self.lease, *self.more)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker tells an attached worker: to end the attempt of a cancelled job."""

    cancel: int
