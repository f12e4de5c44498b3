"""Half and nearly all of a row of numbers, and what a worker's end is counted as."""

from __future__ import annotations

import signal

import hypothesis.strategies as st
import pytest
from hypothesis import given

from supervisor.core.fleet import exit_reason
from supervisor.core.statistics import Spread, spread


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], Spread(None, None, None)),
        ([3.0], Spread(3.0, 3.0, 3.0)),
        ([2.0, 1.0], Spread(1.0, 2.0, 2.0)),
        ([5.0, 1.0, 3.0], Spread(3.0, 5.0, 5.0)),
        ([float(n) for n in range(1, 101)], Spread(50.0, 95.0, 100.0)),
        ([0.0] * 95 + [9.0] * 5, Spread(0.0, 0.0, 9.0)),
        ([0.0] * 94 + [9.0] * 6, Spread(0.0, 9.0, 9.0)),
    ],
)
def test_the_spread_of(values: list[float], expected: Spread) -> None:
    assert spread(values) == expected


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_so_many_of_the_values_do_not_pass_it(values: list[float]) -> None:
    p50, p95, greatest = spread(values)
    assert p50 is not None and p95 is not None and greatest == max(values)
    assert {p50, p95} <= set(values)
    for share, rank in ((0.5, p50), (0.95, p95)):
        assert sum(value <= rank for value in values) >= share * len(values)
        assert sum(value < rank for value in values) < share * len(values)


@pytest.mark.parametrize(
    ("how", "code", "number", "said", "renewal", "reason"),
    [
        ("died", None, signal.SIGKILL, "", "", "SIGKILL"),
        ("died", 6, None, "5 leases in a row could not be started", "", "exit 6"),
        ("died", None, None, "", "", "unknown"),
        ("died", 0, None, "", "reload", "exit 0"),
        ("killed", None, signal.SIGKILL, "hung: no beat for 31 s", "", "hung"),
        ("killed", None, signal.SIGABRT, "hung: no beat for 31 s", "", "hung"),
        ("killed", None, signal.SIGKILL, "grew to 900 MiB, more than 2 times its pool's max_rss", "", "max_rss"),
        ("killed", None, signal.SIGKILL, "was killed at the shutdown", "", "shutdown"),
        ("recycled", 4, None, "recycle: max_jobs: it has run 100 jobs", "", "max_jobs"),
        ("recycled", 4, None, "recycle: ", "", "recycled"),
        ("left", 0, None, "", "restart", "restart"),
        ("left", None, signal.SIGTERM, "", "reload", "reload"),
        ("left", 0, None, "", "", "stopped"),
    ],
)
def test_the_end_of_a_worker_is_counted_as(
    how: str, code: int | None, number: int | None, said: str, renewal: str, reason: str
) -> None:
    assert exit_reason(how, code, number, said, renewal) == reason
