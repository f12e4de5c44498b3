"""--at in words: what moment they mean, also where the clocks change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from ctl import InvalidRequest
from ctl.schedule import moment_of

BERLIN = "Europe/Berlin"


@pytest.fixture
def in_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def to(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield to
    monkeypatch.undo()
    time.tzset()


def at(zone: str, text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


# a Wednesday at 10 o'clock
NOW = "2026-01-14T10:00"


@pytest.mark.parametrize(
    ("words", "local"),
    [
        ("2026-01-31T08:00", "2026-01-31T08:00"),
        ("2026-01-31 08:00:05", "2026-01-31T08:00:05"),
        ("2026-01-31", "2026-01-31T00:00"),
        ("2020-01-31", "2020-01-31T00:00"),
        ("tomorrow 09:00", "2026-01-15T09:00"),
        ("  Tomorrow  at 9:05 PM ", "2026-01-15T21:05"),
        ("tomorrow noon", "2026-01-15T12:00"),
        ("tomorrow midnight", "2026-01-15T00:00"),
        ("today 10:01", "2026-01-14T10:01"),
        ("10:01", "2026-01-14T10:01"),
        ("10:00", "2026-01-15T10:00"),
        ("09:59:59", "2026-01-15T09:59:59"),
        ("9am", "2026-01-15T09:00"),
        ("12am", "2026-01-15T00:00"),
        ("12pm", "2026-01-14T12:00"),
        ("wednesday 18:00", "2026-01-14T18:00"),
        ("wed 08:00", "2026-01-21T08:00"),
        ("tue 08:00", "2026-01-20T08:00"),
        ("sunday 23:59", "2026-01-18T23:59"),
        ("in 2h", "2026-01-14T12:00"),
        ("in 1d 30m", "2026-01-15T10:30"),
        ("in 90", "2026-01-14T10:01:30"),
    ],
)
@pytest.mark.parametrize("zone", [BERLIN, "UTC", "America/New_York", "Asia/Kathmandu", "Pacific/Kiritimati"])
def test_words_mean_a_moment_of_the_local_clock(
    in_zone: Callable[[str], None], zone: str, words: str, local: str
) -> None:
    in_zone(zone)
    expected = at(zone, local).astimezone(UTC)
    assert datetime.fromisoformat(moment_of(words, at(zone, NOW).astimezone(UTC))) == expected


def test_a_zone_in_the_text_and_a_datetime_are_taken_as_they_are(in_zone: Callable[[str], None]) -> None:
    in_zone(BERLIN)
    assert moment_of("2026-01-31T08:00:00Z") == "2026-01-31T08:00:00.000000Z"
    assert moment_of("2026-01-31T08:00:00+05:45") == "2026-01-31T02:15:00.000000Z"
    assert moment_of(datetime(2026, 1, 31, 8)) == "2026-01-31T07:00:00.000000Z"  # noqa: DTZ001


@pytest.mark.parametrize(
    ("now", "words", "moment"),
    [
        # 2026-03-29: 02:00 becomes 03:00, so that 02:30 does not exist: an hour later by that clock, 03:30
        ("2026-03-28T12:00:00+01:00", "tomorrow 01:59", "2026-03-29T00:59:00.000000Z"),
        ("2026-03-28T12:00:00+01:00", "tomorrow 02:30", "2026-03-29T01:30:00.000000Z"),
        ("2026-03-28T12:00:00+01:00", "tomorrow 03:00", "2026-03-29T01:00:00.000000Z"),
        ("2026-03-28T12:00:00+01:00", "2026-03-29T02:30", "2026-03-29T01:30:00.000000Z"),
        # a day is 23 h long there, and `in` counts hours and not days of the clock
        ("2026-03-28T12:00:00+01:00", "tomorrow 12:00", "2026-03-29T10:00:00.000000Z"),
        ("2026-03-28T12:00:00+01:00", "in 1d", "2026-03-29T11:00:00.000000Z"),
        # 2026-10-25: 03:00 becomes 02:00, so that 02:30 comes twice: the first one
        ("2026-10-24T12:00:00+02:00", "tomorrow 02:30", "2026-10-25T00:30:00.000000Z"),
        ("2026-10-24T12:00:00+02:00", "tomorrow 03:00", "2026-10-25T02:00:00.000000Z"),
        # between the two, the first one is over
        ("2026-10-25T02:15:00+01:00", "02:30", "2026-10-26T01:30:00.000000Z"),
        ("2026-10-25T02:15:00+02:00", "02:30", "2026-10-25T00:30:00.000000Z"),
    ],
)
def test_where_the_clocks_change(in_zone: Callable[[str], None], now: str, words: str, moment: str) -> None:
    in_zone(BERLIN)
    assert moment_of(words, datetime.fromisoformat(now)) == moment


@pytest.mark.parametrize(
    "words",
    [
        "",
        "soon",
        "tomorrow",
        "monday",
        "9",
        "tomorrow 9",
        "25:00",
        "13pm",
        "0am",
        "mo 09:00",
        "in",
        "in an hour",
        "in -1h",
        "next monday 09:00",
        "yesterday 09:00",
        "31.01.2026 08:00",
        "2026-02-30",
        "10:61",
    ],
)
def test_other_words_are_refused_with_the_legal_ones(words: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a date and time: write 2026-01-31T08:00"):
        moment_of(words)


def test_a_time_of_today_that_is_over_is_refused(in_zone: Callable[[str], None]) -> None:
    in_zone("UTC")
    with pytest.raises(InvalidRequest, match="is over already"):
        moment_of("today 09:00", datetime.fromisoformat(NOW).replace(tzinfo=UTC))
