"""The columns of a list of jobs."""

from __future__ import annotations

from ctl.errors import invalid
from ctl.moments import distance
from ctl.table import print_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ctl.console import Console
    from ctl.job import Job


def _progress(job: Job) -> str:
    progress = job.progress or {}
    percentage = progress.get("percentage")
    parts = [f"{percentage:g}%" if isinstance(percentage, int | float) else "", str(progress.get("stage") or "")]
    return " ".join(part for part in parts if part)


def _exit(job: Job) -> object:
    return job.signal if job.exit_code is None else job.exit_code


COLUMNS: dict[str, Callable[[Job], object]] = {
    "id": lambda job: job.id,
    "state": lambda job: job.state,
    "reason": lambda job: job.reason,
    "name": lambda job: job.name,
    "type": lambda job: job.type,
    "queue": lambda job: job.queue,
    "priority": lambda job: job.priority,
    "attempt": lambda job: job.attempt,
    "exit": _exit,
    "progress": _progress,
    "submitted": lambda job: distance(job.submitted_at),
    "due": lambda job: distance(job.due_at),
    "started": lambda job: distance(job.started_at),
    "finished": lambda job: distance(job.finished_at),
    "message": lambda job: job.message,
}
USUAL = ("id", "state", "reason", "name", "queue", "attempt", "submitted", "message")


def chosen_columns(text: str | None) -> Sequence[str]:
    """The columns of `id,state,name`; raises InvalidRequest listing what there is."""
    if text is None:
        return USUAL
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in COLUMNS]
    if unknown or not names:
        raise invalid(f"there is no column {', '.join(unknown) or repr(text)}; there are {', '.join(COLUMNS)}")
    return names


def print_jobs(console: Console, jobs: Sequence[Job], columns: Sequence[str] = USUAL, headers: bool = True) -> None:
    """A table of `jobs`."""
    rows = [[COLUMNS[column](job) for column in columns] for job in jobs]
    print_table(console, [column.upper() for column in columns], rows, headers=headers)
