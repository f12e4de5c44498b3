"""When a process that has done many jobs makes room for a fresh one. Values in, values out; the dice are arguments.

Counts and ages are spread by 10 % either way, so that replicas which were started together do not go together.
Memory is not: above it a process goes, whichever it is.
"""

from __future__ import annotations

from typing import Final

import msgspec

from supervisor.core.units import format_duration, format_size

SPREAD: Final = 0.1


class Lifespan(msgspec.Struct, frozen=True, kw_only=True):
    """How long one process may serve; None for no end of that kind."""

    max_jobs: int | None = None
    max_rss_bytes: int | None = None
    max_age_s: float | None = None


def one_of(usual: Lifespan, dice: float) -> Lifespan:
    """The lifespan of one process out of many; `dice` in [0, 1)."""
    share = 1 - SPREAD + 2 * SPREAD * dice
    return Lifespan(
        max_jobs=None if usual.max_jobs is None else max(1, round(usual.max_jobs * share)),
        max_rss_bytes=usual.max_rss_bytes,
        max_age_s=None if usual.max_age_s is None else usual.max_age_s * share,
    )


def worn(span: Lifespan, *, jobs: int, rss_bytes: int, age_s: float) -> str | None:
    """Why a process of this lifespan is to be replaced, in words of which the first is the setting; None if it is not."""
    if span.max_rss_bytes is not None and rss_bytes > span.max_rss_bytes:
        return f"max_rss: it has {format_size(rss_bytes)}, more than {format_size(span.max_rss_bytes)}"
    if span.max_jobs is not None and jobs >= span.max_jobs:
        return f"max_jobs: it has done {jobs}"
    if span.max_age_s is not None and age_s >= span.max_age_s:
        return f"max_age: it is {format_duration(age_s)} old"
    return None
