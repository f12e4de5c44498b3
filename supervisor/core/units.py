"""Durations and sizes as people write them: `1h30m`, `250ms`, `512M`. Stdlib only, so that the command can use it."""

from __future__ import annotations

import re
from typing import Final

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])", re.ASCII)
_PLAIN_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?)(?:i?b)?", re.ASCII | re.IGNORECASE)

MAX_DURATION_S: Final = 100 * 366 * 86400.0
"""A hundred years: longer durations are mistakes, and would overflow what a date can say."""


def parse_duration_s(text: str) -> float:
    """Seconds of `text`: units ms s m h d, combinable (`1h30m`); a bare number is seconds.

    Raises ValueError with a sentence that lists what is legal.
    """
    word = text.strip().lower()
    if _PLAIN_NUMBER.fullmatch(word):
        seconds = float(word)
    else:
        parts = _DURATION_PART.findall(word)
        if not parts or "".join(number + unit for number, unit in parts) != word.replace(" ", ""):
            raise ValueError(
                f"{text!r} is not a duration: write a number of seconds, or numbers with the units ms, s, m, h, d "
                "such as 90, 1.5s, 250ms or 1h30m"
            )
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if seconds > MAX_DURATION_S:
        raise ValueError(f"{text!r} is longer than 100 years")
    return seconds


def parse_size_bytes(text: str) -> int:
    """Bytes of `text`: a number with K, M or G, which are powers of 1024; a bare number is bytes.

    Raises ValueError with a sentence that lists what is legal.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size: write a number of bytes, or a number with K, M or G such as 512M")
    size = float(match[1]) * _BYTES[match[2].lower()]
    if size >= 2**62:
        raise ValueError(f"{text!r} is larger than any disk")
    return int(size)


def format_duration(seconds: float) -> str:
    """`seconds` for people: `850 ms`, `1.2 s`, `10 min`, `2 h 5 min`."""
    if seconds < 0.9995:
        return f"{round(seconds * 1000)} ms"
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min" + (f" {rest} s" if rest else "")
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h" + (f" {minutes} min" if minutes else "")
    days, hours = divmod(hours, 24)
    return f"{days} d" + (f" {hours} h" if hours else "")


def format_size(size: int) -> str:
    """`size` bytes for people, in powers of 1024: `512 MiB`, `1.5 KiB`."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.4g} {name}" if size < 1000 * unit else f"{size / unit:.0f} {name}"
    return f"{size} B"
