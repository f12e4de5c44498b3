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
