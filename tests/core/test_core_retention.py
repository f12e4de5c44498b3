"""What is kept of finished jobs, as a table: ages and numbers in, cuts out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.queues import NO_CAPS, QueueCaps, caps_of, table_of
from supervisor.core.retention import Cut, Retention, cuts, doomed

NOW_US = 1_000_000_000_000
DAY_US = 86_400_000_000
NOTHING = Retention(completed_s=None, failed_s=None, cancelled_s=None, outputs_bytes=None, events_s=None)


@pytest.mark.parametrize(
    ("retention", "counts", "expected"),
    [
        (NOTHING, {"completed": 10**6}, []),
        (
            Retention(),
            {"completed": 5, "failed": 1, "cancelled": 0, "queued": 3},
            [
                Cut("completed", NOW_US - 7 * DAY_US, 0),
                Cut("failed", NOW_US - 30 * DAY_US, 0),
                Cut("cancelled", NOW_US - 30 * DAY_US, 0),
            ],
        ),
        (
            Retention(completed_s=None, max_completed=3, failed_s=None, cancelled_s=1.5, max_cancelled=9),
            {"completed": 5, "cancelled": 9},
            [Cut("completed", None, 2), Cut("cancelled", NOW_US - 1_500_000, 0)],
        ),
        (Retention(completed_s=0, failed_s=None, cancelled_s=None), {}, [Cut("completed", NOW_US, 0)]),
    ],
    ids=["nothing goes", "the defaults", "by number", "at once"],
)
def test_what_is_cut(retention: Retention, counts: dict[str, int], expected: list[Cut]) -> None:
    assert cuts(retention, counts, NOW_US) == expected


@pytest.mark.parametrize(
    ("cut", "finished_us", "expected"),
    [
        (Cut("failed", 50), [10, 20, 49, 50, 51], 3),
        (Cut("failed", 50, surplus=4), [10, 20, 49, 50, 51], 4),
        (Cut("failed", 50, surplus=1), [10, 20, 49, 50, 51], 3),
        (Cut("failed", None, surplus=2), [10, 20, 49], 2),
        (Cut("failed", None, surplus=9), [10, 20], 2),
        (Cut("failed", None), [10], 0),
        (Cut("failed", 5), [], 0),
    ],
)
def test_those_that_ended_first_go_first(cut: Cut, finished_us: list[int], expected: int) -> None:
    assert doomed(cut, finished_us) == expected


@given(
    finished_us=st.lists(st.integers(0, 100)).map(sorted),
    before_us=st.none() | st.integers(0, 100),
    most=st.none() | st.integers(0, 20),
)
def test_what_stays_is_young_enough_and_not_too_much(
    finished_us: list[int], before_us: int | None, most: int | None
) -> None:
    surplus = 0 if most is None else max(0, len(finished_us) - most)
    gone = doomed(Cut("completed", before_us, surplus), finished_us)
    stays = finished_us[gone:]
    assert before_us is None or all(moment >= before_us for moment in stays)
    assert most is None or len(stays) <= most
    if gone:
        last = finished_us[gone - 1]
        assert (before_us is not None and last < before_us) or (most is not None and len(finished_us) - gone + 1 > most)


QUEUES = {"*": QueueCaps(9, None), "slow": QueueCaps(None, 1), "a.b": NO_CAPS}


@pytest.mark.parametrize(
    ("queue", "caps", "table"),
    [
        ("slow", QueueCaps(None, 1), "queues.slow"),
        ("a.b", NO_CAPS, 'queues."a.b"'),
        ("any", QueueCaps(9, None), 'queues."*"'),
    ],
)
def test_a_queue_has_its_own_table_or_that_of_all(queue: str, caps: QueueCaps, table: str) -> None:
    assert (caps_of(QUEUES, queue), table_of(QUEUES, queue)) == (caps, table)


def test_without_any_table_there_are_no_caps_and_a_queue_would_get_its_own() -> None:
    assert (caps_of({}, "any"), table_of({}, "any-1_x")) == (NO_CAPS, "queues.any-1_x")
