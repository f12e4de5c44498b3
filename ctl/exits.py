"""What the command exits with. Pure: from a job or an error to a number."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctl.job import Job

OK = 0
NOT_COMPLETED = 1
DEFECT = 7
NO_STATUS = 125
INTERRUPTED = 130
BROKEN_PIPE = 141
_SIGNAL_BASE = 128


def of_run(job: Job) -> int:
    """`run`: the main process's exit code; 128+N if signal N ended it; 125 when there is no wait status.

    A job that did not complete although its main process exited with 0 (it caught our time-out, say) is 1: nobody's
    `&&` may take it for a success.
    """
    if job.ok:
        return OK
    if job.exit_code is not None:
        return job.exit_code or NOT_COMPLETED
    number = signal_number(job.signal)
    return NO_STATUS if number is None else _SIGNAL_BASE + number


def of_jobs(jobs: list[Job]) -> int:
    """`wait` and `follow`: 0 only if all completed."""
    return OK if all(job.ok for job in jobs) else NOT_COMPLETED


def signal_number(name: str | None) -> int | None:
    """The number of a signal's name, `SIGKILL`, `SIGRTMIN+3` or `SIG42`; None if there is none."""
    if not name:
        return None
    from signal import Signals

    base, plus, offset = name.partition("+")
    if base in Signals.__members__:
        return Signals[base].value + (int(offset) if plus and offset.isdecimal() else 0)
    digits = name.removeprefix("SIG")
    return int(digits) if digits.isdecimal() else None
