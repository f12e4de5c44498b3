"""The columns of a table of jobs."""

from __future__ import annotations

from ctl.columns import Column, Columns
from ctl.moments import distance
from supervisor.core.names import STATES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctl.job import Job


def progress_words(job: Job) -> str:
    """`40% parsing`."""
    progress = job.progress or {}
    percentage = progress.get("percentage")
    parts = [f"{percentage:g}%" if isinstance(percentage, int | float) else "", str(progress.get("stage") or "")]
    return " ".join(part for part in parts if part)


def _exit(job: Job) -> object:
    return job.signal if job.exit_code is None else job.exit_code


def _life(job: Job) -> int:
    """States in the order of a job's life."""
    return [*STATES].index(job.state) if job.state in STATES else len(STATES)


JOBS = Columns(
    {
        "id": Column(lambda job: job.id),
        "state": Column(lambda job: job.state, _life),
        "reason": Column(lambda job: job.reason),
        "name": Column(lambda job: job.name),
        "type": Column(lambda job: job.type),
        "queue": Column(lambda job: job.queue),
        "priority": Column(lambda job: job.priority),
        "attempt": Column(lambda job: job.attempt),
        "exit": Column(_exit),
        "progress": Column(progress_words, lambda job: (job.progress or {}).get("percentage")),
        "submitted": Column(lambda job: distance(job.submitted_at), lambda job: job.submitted_at),
        "due": Column(lambda job: distance(job.due_at), lambda job: job.due_at),
        "started": Column(lambda job: distance(job.started_at), lambda job: job.started_at),
        "finished": Column(lambda job: distance(job.finished_at), lambda job: job.finished_at),
        "message": Column(lambda job: job.message),
    },
    usual=("id", "state", "reason", "name", "queue", "attempt", "submitted", "message"),
    wide=(
        "id",
        "state",
        "reason",
        "name",
        "type",
        "queue",
        "priority",
        "attempt",
        "exit",
        "progress",
        "submitted",
        "started",
        "finished",
        "message",
    ),
)
