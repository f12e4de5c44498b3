"""The durable queue: SQLite behind plain functions. The one importer of sqlite3 and sqlite_utils.

Writes take a `Tx` and run in `run_batch`; reads take a reader connection. Moments and dice are arguments: nothing
here reads a clock. Never decides what a job may do: that is `core`, which the constraints of the schema repeat.
"""

from supervisor.store.batch import Event, GuardFailed, Tx, run_batch
from supervisor.store.checkpoint import Checkpoint, checkpoint, wal_bytes
from supervisor.store.checkup import Checkup, check_up, sqlite_version
from supervisor.store.claim import claim
from supervisor.store.db import Reader, Writer, open_reader, open_writer
from supervisor.store.jobs import CancelResult, cancel, promote_due, report_progress, retry
from supervisor.store.leases import LossReason, Settled_, lose, release, release_unheld, running_incarnations, settle
from supervisor.store.position import Place, Standing, jobs_before, standing_of
from supervisor.store.reads import (
    AttemptInfo,
    attempt_of,
    cancels_among,
    counts,
    events_after,
    job_of_request,
    job_view,
    last_event_id,
    list_views,
    next_due_us,
    oldest_queued_us,
    owner_of,
    queue_counts,
    rfc3339,
    states_of,
)
from supervisor.store.submit import NewJob, submit

__all__ = [
    "AttemptInfo",
    "CancelResult",
    "Checkpoint",
    "Checkup",
    "Event",
    "GuardFailed",
    "LossReason",
    "NewJob",
    "Place",
    "Reader",
    "Settled_",
    "Standing",
    "Tx",
    "Writer",
    "attempt_of",
    "cancel",
    "cancels_among",
    "check_up",
    "checkpoint",
    "claim",
    "counts",
    "events_after",
    "job_of_request",
    "job_view",
    "jobs_before",
    "last_event_id",
    "list_views",
    "lose",
    "next_due_us",
    "oldest_queued_us",
    "open_reader",
    "open_writer",
    "owner_of",
    "promote_due",
    "queue_counts",
    "release",
    "release_unheld",
    "report_progress",
    "retry",
    "rfc3339",
    "run_batch",
    "running_incarnations",
    "settle",
    "sqlite_version",
    "standing_of",
    "states_of",
    "submit",
    "wal_bytes",
]
