"""Durations and sizes as people write and read them."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from supervisor.core.units import MAX_DURATION_S, format_duration, format_size, parse_duration_s, parse_size_bytes


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("1.5", 1.5),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("10m", 600),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("2d", 172800),
        ("1d2h3m4s5ms", 93784.005),
        (" 10M ", 600),
        ("30S", 30),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == pytest.approx(seconds)


NO_DURATION = ["", " ", "s", "-1", "+1", "-5s", "1x", "1 2", "1.s", ".5", "1e3", "nan", "inf", "1h30", "1,5", "٣s"]
NO_SIZE = ["", "M", "-1", "1T", "1e3", "nan", "inf", "1 2", "0x10", "1MM", "٣", "9" * 400, "5000000000000G"]


@pytest.mark.parametrize("text", [*NO_DURATION, "5ms5", "9" * 400])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|longer"):
        parse_duration_s(text)


def test_a_duration_ends_at_a_hundred_years() -> None:
    assert parse_duration_s(f"{int(MAX_DURATION_S)}") == MAX_DURATION_S
    with pytest.raises(ValueError, match="100 years"):
        parse_duration_s(f"{int(MAX_DURATION_S) + 1}")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512", 512),
        ("1K", 1024),
        ("512M", 512 << 20),
        ("512 MiB", 512 << 20),
        ("1.5g", 3 << 29),
        ("10kb", 10240),
        (" 7 ", 7),
        ("5b", 5),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size_bytes(text) == size


@pytest.mark.parametrize("text", NO_SIZE)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match=r"size|larger"):
        parse_size_bytes(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.25, "250 ms"),
        (0.9996, "1 s"),
        (1, "1 s"),
        (1.5, "1.5 s"),
        (59.97, "1 min"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (600, "10 min"),
        (3599.6, "1 h"),
        (7500, "2 h 5 min"),
        (47 * 3600, "47 h"),
        (50 * 3600, "2 d 2 h"),
    ],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (512 << 20, "512 MiB"),
        (3 << 29, "1.5 GiB"),
        ((1 << 20) - 1, "1024 KiB"),
        (100 << 40, "102400 GiB"),
    ],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert format_size(size) == text


@given(st.text())
def test_any_text_is_a_duration_and_a_size_or_refused_with_a_sentence(text: str) -> None:
    for parse in (parse_duration_s, parse_size_bytes):
        try:
            assert 0 <= parse(text) < 2**62
        except ValueError as error:
            assert len(str(error)) > 15


@given(st.integers(0, 10**6), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_a_unit_multiplies(number: int, unit: str) -> None:
    factor = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
    if number * factor <= MAX_DURATION_S:
        assert parse_duration_s(f"{number}{unit}") == pytest.approx(number * factor)


@given(st.floats(0, 1e9))
def test_what_people_read_is_near_the_truth(seconds: float) -> None:
    text = format_duration(seconds).replace("min", "m").replace(" ", "")
    assert parse_duration_s(text) == pytest.approx(seconds, rel=0.03, abs=0.001)


@given(st.integers(0, 2**50))
def test_sizes_read_back_near_the_truth(size: int) -> None:
    assert parse_size_bytes(format_size(size)) == pytest.approx(size, rel=0.001)
