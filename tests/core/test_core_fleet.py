"""When a dead child is started again, later, or no more."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from supervisor.core.fleet import (
    BROKER_STARTS,
    HEALTHY_AFTER_S,
    PARK_AFTER_DEATHS,
    PARK_WITHIN_S,
    Deaths,
    after_broker_death,
    after_worker_death,
    free_indices,
    missing_numbers,
    overslept,
    silence_s,
)


def _die(times: list[tuple[float, float]]) -> list[float | None]:
    """The delays after deaths at (now_s, lived_s)."""
    deaths, delays = Deaths(), []
    for now_s, lived_s in times:
        restart = after_worker_death(deaths, lived_s, now_s)
        deaths = restart.deaths
        delays.append(restart.delay_s)
    return delays


def test_the_first_replacement_is_at_once_then_slower_and_slower() -> None:
    assert _die([(30.0 * n, 20.0) for n in range(9)]) == [0, 1, 2, 4, 8, 16, 32, 60, 60]


def test_five_deaths_in_a_minute_park_the_slot() -> None:
    assert _die([(float(n), 0.1) for n in range(5)]) == [0, 1, 2, 4, None]


def test_a_death_exactly_a_minute_ago_is_forgotten() -> None:
    assert _die([(0.0, 0.1), (15.0, 0.1), (30.0, 0.1), (45.0, 0.1), (60.0, 0.1)])[-1] == 8
    assert _die([(0.0, 0.1), (15.0, 0.1), (30.0, 0.1), (45.0, 0.1), (59.9, 0.1)])[-1] is None


def test_a_healthy_life_starts_the_count_over() -> None:
    assert _die([(0.0, 1.0), (5.0, 1.0), (100.0, HEALTHY_AFTER_S), (105.0, 1.0)]) == [0, 1, 0, 1]
    assert _die([(0.0, 1.0), (5.0, 1.0), (100.0, HEALTHY_AFTER_S - 0.1)]) == [0, 1, 2]


@given(st.lists(st.tuples(st.floats(0, 200), st.floats(0, 100)), max_size=40))
def test_a_slot_is_parked_exactly_when_it_died_too_often(lives: list[tuple[float, float]]) -> None:
    now_s, deaths, times = 0.0, Deaths(), []
    for pause_s, lived_s in lives:
        now_s += pause_s
        times.append(now_s)
        restart = after_worker_death(deaths, lived_s, now_s)
        deaths = restart.deaths
        lately = [at for at in times if now_s - at < PARK_WITHIN_S]
        assert (restart.delay_s is None) == (len(lately) >= PARK_AFTER_DEATHS)
        assert restart.delay_s is None or 0 <= restart.delay_s <= 60
        assert len(deaths.recent) <= PARK_AFTER_DEATHS


def test_a_slot_that_dies_for_ever_has_a_delay_for_ever() -> None:
    deaths = Deaths(streak=100_000)
    assert after_worker_death(deaths, 1.0, 5.0).delay_s == 60


@pytest.mark.parametrize(
    ("unready", "delay_s"), [(0, 0.0), (1, 0.2), (2, 0.5), (3, 1.0), (4, 1.0), (5, None), (9, None)]
)
def test_the_broker_is_started_again_until_it_never_becomes_ready(unready: int, delay_s: float | None) -> None:
    assert after_broker_death(unready) == delay_s
    assert (delay_s is None) == (unready >= BROKER_STARTS)


@pytest.mark.parametrize(
    ("present", "replicas", "missing"),
    [((), 3, [1, 2, 3]), ((1, 2), 2, []), ((1, 3), 3, [2]), ((1, 2, 3), 1, []), ((5,), 2, [1, 2]), ((), 0, [])],
)
def test_slots_are_numbered_from_one_whatever_came_and_went(
    present: tuple[int, ...], replicas: int, missing: list[int]
) -> None:
    assert missing_numbers(present, replicas) == missing


@given(st.sets(st.integers(0, 11)), st.integers(0, 12))
def test_a_new_slot_never_gets_an_index_that_is_in_use(used: set[int], wanted: int) -> None:
    given_out = free_indices(used, 12, wanted)
    assert len(given_out) == min(wanted, 12 - len(used))
    assert not used & set(given_out) and len(set(given_out)) == len(given_out)
    assert all(0 <= index < 12 for index in given_out)


@pytest.mark.parametrize(
    ("beat_s", "since_s", "silent_s"),
    [(90.0, 50.0, 10.0), (50.0, 90.0, 10.0), (0.0, 60.0, 40.0), (400.0, 0.0, -300.0)],
)
def test_silence_counts_from_the_last_beat_or_from_a_fresh_period_and_never_while_a_disk_is_waited_for(
    beat_s: float, since_s: float, silent_s: float
) -> None:
    assert silence_s(100.0, beat_s, since_s) == silent_s


def test_who_comes_more_than_a_whole_interval_late_has_overslept() -> None:
    assert not overslept(now_s=20.0, due_s=10.0, interval_s=10.0)
    assert overslept(now_s=20.1, due_s=10.0, interval_s=10.0)
