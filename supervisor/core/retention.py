"""How long finished jobs are kept: which of them go, by age and by number. Pure: moments and counts in, numbers out.

Only what is over ever goes: a job that is scheduled, queued or running has no moment of its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from supervisor.core.names import CANCELLED, COMPLETED, FAILED

DAY_S: Final = 86_400.0
_US: Final = 1_000_000


class Retention(msgspec.Struct, frozen=True):
    """How long (seconds) and how many jobs of each final state are kept, and how many bytes of output in all.

    `events_s` is for the events that belong to no job. None: for ever, or as many as there are.
    """

    completed_s: float | None = 7 * DAY_S
    failed_s: float | None = 30 * DAY_S
    cancelled_s: float | None = 30 * DAY_S
    max_completed: int | None = None
    max_failed: int | None = None
    max_cancelled: int | None = None
    outputs_bytes: int | None = 5 << 30
    events_s: float | None = 30 * DAY_S


class Cut(NamedTuple):
    """What of the jobs in `state` goes: those that ended before `before_us` (None: none by age), and the `surplus`
    of them that ended first."""

    state: str
    before_us: int | None
    surplus: int = 0


def cuts(retention: Retention, counts: Mapping[str, int], now_us: int) -> list[Cut]:
    """What is to go now. `counts` is the number of jobs in each state."""
    kept = (
        (COMPLETED, retention.completed_s, retention.max_completed),
        (FAILED, retention.failed_s, retention.max_failed),
        (CANCELLED, retention.cancelled_s, retention.max_cancelled),
    )
    return [
        Cut(state, cutoff_us(age_s, now_us), 0 if most is None else max(0, counts.get(state, 0) - most))
        for state, age_s, most in kept
        if age_s is not None or most is not None
    ]


def cutoff_us(age_s: float | None, now_us: int) -> int | None:
    """What is older than `age_s` happened before that moment; None where nothing is too old."""
    return None if age_s is None else now_us - int(age_s * _US)


def doomed(cut: Cut, finished_us: Sequence[int]) -> int:
    """How many of the jobs that ended at these moments, the earliest first, go; always those in front."""
    too_old = 0 if cut.before_us is None else sum(moment < cut.before_us for moment in finished_us)
    return min(len(finished_us), max(too_old, cut.surplus))
