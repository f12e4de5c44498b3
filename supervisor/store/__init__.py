"""The durable queue: SQLite behind plain functions. The one importer of sqlite3 and sqlite_utils.

Writes take a `Tx` and run in `run_batch`; reads take a reader connection. Moments and dice are arguments: nothing
here reads a clock. Never decides what a job may do: that is `core`, which the constraints of the schema repeat.
"""

from supervisor.store.backup import DatabaseCopy
from supervisor.store.batch import Event, GuardFailed, Joinable, Tx, run_batch, storage_full
from supervisor.store.checkpoint import Checkpoint, checkpoint, wal_bytes
from supervisor.store.checkup import Checkup, check_up, sqlite_version
from supervisor.store.claim import claim, claim_many
from supervisor.store.clock import bring_back, clock_went_back
from supervisor.store.db import Reader, Synchronous, Writer, open_reader, open_writer
from supervisor.store.declines import ask_again, decline, declined_by
from supervisor.store.dependencies import (
    DECIDED_AT_ONCE,
    Wait,
    decide_dependents,
    decide_rest,
    forget_dependents,
    jobs_with_undecided,
    waits_of,
)
from supervisor.store.happenings import (
    WorkerEnd,
    record_daemon_start,
    record_event,
    record_worker_end,
    record_worker_start,
)
from supervisor.store.history import before_newest, owners_of
from supervisor.store.jobs import CancelResult, cancel, promote_due, report_progress, retry
from supervisor.store.lately import Minute, minutes_until
from supervisor.store.leases import LossReason, Settled_, lose, release, release_unheld, running_incarnations, settle
from supervisor.store.moment import rfc3339
from supervisor.store.position import Place, Standing, jobs_before, standing_of
from supervisor.store.queues import Pause, pause, pause_of, pauses, resume, running_in
from supervisor.store.reads import (
    AttemptInfo,
    attempt_of,
    cancels_among,
    counts,
    events_after,
    jobs_among,
    jobs_of_requests,
    last_event_id,
    next_due_us,
    oldest_queued_us,
    owner_of,
    queue_counts,
    states_of,
)
from supervisor.store.rehearsal import Rehearsal, rehearse
from supervisor.store.removal import (
    Chosen,
    Removed,
    choose,
    forget_empty_queues,
    give_back_pages,
    remove,
    remove_old_events,
)
from supervisor.store.selection import (
    Candidate,
    Finished,
    candidates,
    contents_needed,
    finished_jobs,
    jobs_that_exist,
    note_outputs_removed,
    outputs_removed,
)
from supervisor.store.statistics import (
    Brief,
    Times,
    briefs_of,
    failures_since,
    finished_since,
    times_since,
)
from supervisor.store.submit import NewJob, Stored, Submission, submit, submit_many
from supervisor.store.tallies import Tally, tallies
from supervisor.store.views import job_view, list_views

__all__ = [
    "DECIDED_AT_ONCE",
    "AttemptInfo",
    "Brief",
    "CancelResult",
    "Candidate",
    "Checkpoint",
    "Checkup",
    "Chosen",
    "DatabaseCopy",
    "Event",
    "Finished",
    "GuardFailed",
    "Joinable",
    "LossReason",
    "Minute",
    "NewJob",
    "Pause",
    "Place",
    "Reader",
    "Rehearsal",
    "Removed",
    "Settled_",
    "Standing",
    "Stored",
    "Submission",
    "Synchronous",
    "Tally",
    "Times",
    "Tx",
    "Wait",
    "WorkerEnd",
    "Writer",
    "ask_again",
    "attempt_of",
    "before_newest",
    "briefs_of",
    "bring_back",
    "cancel",
    "cancels_among",
    "candidates",
    "check_up",
    "checkpoint",
    "choose",
    "claim",
    "claim_many",
    "clock_went_back",
    "contents_needed",
    "counts",
    "decide_dependents",
    "decide_rest",
    "decline",
    "declined_by",
    "events_after",
    "failures_since",
    "finished_jobs",
    "finished_since",
    "forget_dependents",
    "forget_empty_queues",
    "give_back_pages",
    "job_view",
    "jobs_among",
    "jobs_before",
    "jobs_of_requests",
    "jobs_that_exist",
    "jobs_with_undecided",
    "last_event_id",
    "list_views",
    "lose",
    "minutes_until",
    "next_due_us",
    "note_outputs_removed",
    "oldest_queued_us",
    "open_reader",
    "open_writer",
    "outputs_removed",
    "owner_of",
    "owners_of",
    "pause",
    "pause_of",
    "pauses",
    "promote_due",
    "queue_counts",
    "record_daemon_start",
    "record_event",
    "record_worker_end",
    "record_worker_start",
    "rehearse",
    "release",
    "release_unheld",
    "remove",
    "remove_old_events",
    "report_progress",
    "resume",
    "retry",
    "rfc3339",
    "run_batch",
    "running_in",
    "running_incarnations",
    "settle",
    "sqlite_version",
    "standing_of",
    "states_of",
    "storage_full",
    "submit",
    "submit_many",
    "tallies",
    "times_since",
    "waits_of",
    "wal_bytes",
]
