"""What a job that waits for others makes of their ends: `--after J[:ok|:any|:fail]`. Pure.

A condition is decided once, at the other job's final state; a later manual retry of that job revives nothing. Being
deleted unfinished is no end: it can satisfy nothing any more.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from supervisor.core.state import FINAL, JobState

Condition = Literal["ok", "any", "fail"]

RequestId = Annotated[str, Meta(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9._-]+$(?!\n)")]
"""What a client calls a submit. HAZARD: `$` alone would let a newline at the end pass."""
MOST_AWAITED: Final = 10_000
"""So many jobs at most may one job wait for."""

MET_BY: Final[dict[str, frozenset[JobState]]] = {
    "ok": frozenset({JobState.COMPLETED}),
    "any": FINAL,
    "fail": frozenset({JobState.FAILED}),
}
"""The final states that satisfy each condition; any other one makes it impossible."""

WANTED: Final = {"ok": "complete", "any": "end", "fail": "fail"}
"""What the other job must do, in a word."""


class After(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job to wait for, by its id or by the `request_id` of its submit, and how it must end."""

    job: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    request_id: RequestId | None = None
    condition: Condition = "ok"


def is_met(condition: str, state: str | None) -> bool | None:
    """Whether a job in `state` satisfies `condition` (None: deleted unfinished); None while that is not decided."""
    if state is None:
        return False
    if state not in FINAL:
        return None
    return state in MET_BY[condition]


def never(condition: str, job: int, state: str | None, reason: str | None) -> str:
    """Why a job that waited for `job` cannot run any more: which one, and how that one ended."""
    if state is None:
        how = "was deleted before it ended"
    else:
        how = f"was {state}" if state == JobState.CANCELLED else str(state)
        if reason not in (None, "ok", "cancelled"):
            how += f" ({reason})"
    return f"it waited for job {job} to {WANTED[condition]} (--after {job}:{condition}), which {how}"
