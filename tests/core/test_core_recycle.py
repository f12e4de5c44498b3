"""When a process makes room for a fresh one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.recycle import Lifespan, one_of, worn

MIB = 1 << 20


@pytest.mark.parametrize(
    ("span", "jobs", "rss", "age", "why"),
    [
        (Lifespan(), 10**6, 1 << 40, 1e9, None),
        (Lifespan(max_jobs=10), 9, 0, 0.0, None),
        (Lifespan(max_jobs=10), 10, 0, 0.0, "max_jobs: it has done 10"),
        (Lifespan(max_rss_bytes=64 * MIB), 0, 64 * MIB, 0.0, None),
        (Lifespan(max_rss_bytes=64 * MIB), 0, 80 * MIB, 0.0, "max_rss: it has 80 MiB, more than 64 MiB"),
        (Lifespan(max_age_s=60.0), 0, 0, 59.9, None),
        (Lifespan(max_age_s=60.0), 0, 0, 60.0, "max_age: it is 1 min old"),
        (Lifespan(max_jobs=1, max_rss_bytes=1), 1, 2, 0.0, "max_rss: it has 2 B, more than 1 B"),
    ],
)
def test_a_process_is_replaced_at_the_end_of_its_lifespan(
    span: Lifespan, jobs: int, rss: int, age: float, why: str | None
) -> None:
    assert worn(span, jobs=jobs, rss_bytes=rss, age_s=age) == why


@given(st.integers(1, 10**9), st.floats(0, 1, exclude_max=True))
def test_counts_and_ages_are_spread_by_a_tenth_and_memory_is_not(usual: int, dice: float) -> None:
    span = one_of(Lifespan(max_jobs=usual, max_rss_bytes=usual, max_age_s=float(usual)), dice)
    assert span.max_rss_bytes == usual
    assert span.max_jobs is not None and span.max_jobs >= 1 and abs(span.max_jobs - usual) <= 0.1 * usual + 0.5
    assert span.max_age_s is not None and 0.899 * usual <= span.max_age_s <= 1.101 * usual


def test_replicas_that_were_started_together_do_not_go_together() -> None:
    spans = {one_of(Lifespan(max_jobs=1000), number / 8).max_jobs for number in range(8)}
    assert len(spans) == 8
    assert one_of(Lifespan(), 0.5) == Lifespan()
