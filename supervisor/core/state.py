"""Where a job is, and every way it may move. The one table of transitions; the database enforces it again.

```
scheduled -due-> queued -leased-> running -> completed | failed | cancelled | scheduled (retry)
running -released-> queued (shutdown, loss, lost reply, declined)      scheduled|queued -cancelled-> cancelled
failed|cancelled|completed -retried by a user-> queued
```
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from supervisor.core import names


class JobState(StrEnum):
    """Where a job is. How an attempt ended is an `Outcome`; what happens next is a `Settlement`."""

    SCHEDULED = names.SCHEDULED
    QUEUED = names.QUEUED
    RUNNING = names.RUNNING
    COMPLETED = names.COMPLETED
    FAILED = names.FAILED
    CANCELLED = names.CANCELLED


class Cue(StrEnum):
    """What may happen to a job. Each is also the kind of the event that records it."""

    DUE = "due"
    LEASED = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    RETRY = "retrying"
    RELEASED = "released"
    CANCELLED = "cancelled"
    RETRIED = "retried"


FINAL: Final = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})

TRANSITIONS: Final[dict[tuple[JobState, Cue], JobState]] = {
    (JobState.SCHEDULED, Cue.DUE): JobState.QUEUED,
    (JobState.SCHEDULED, Cue.CANCELLED): JobState.CANCELLED,
    (JobState.QUEUED, Cue.LEASED): JobState.RUNNING,
    (JobState.QUEUED, Cue.CANCELLED): JobState.CANCELLED,
    (JobState.RUNNING, Cue.COMPLETED): JobState.COMPLETED,
    (JobState.RUNNING, Cue.FAILED): JobState.FAILED,
    (JobState.RUNNING, Cue.CANCELLED): JobState.CANCELLED,
    (JobState.RUNNING, Cue.RETRY): JobState.SCHEDULED,
    (JobState.RUNNING, Cue.RELEASED): JobState.QUEUED,
    (JobState.COMPLETED, Cue.RETRIED): JobState.QUEUED,
    (JobState.FAILED, Cue.RETRIED): JobState.QUEUED,
    (JobState.CANCELLED, Cue.RETRIED): JobState.QUEUED,
}


class IllegalTransition(Exception):
    """`cue` cannot happen to a job in `state`."""

    def __init__(self, state: JobState, cue: Cue) -> None:
        super().__init__(f"a job that is {state} cannot be {cue}")
        self.state = state
        self.cue = cue


def step(state: JobState, cue: Cue) -> JobState:
    """The state after `cue` happened to a job in `state`; raises IllegalTransition."""
    try:
        return TRANSITIONS[state, cue]
    except KeyError:
        raise IllegalTransition(state, cue) from None
