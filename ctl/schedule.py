"""When a job is to run, as people write it: ISO 8601, `tomorrow 09:00`, `monday 7:30pm`, `18:00`, `in 2h30m`.

A time of the day and a weekday mean the next such moment that is still ahead.
Everything without a zone is the caller's local time (TZ, or the machine's). Where clocks go back, an hour that comes
twice means the first one; where they go forward, a time that does not exist means as much later as the clock jumps.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

from ctl.errors import invalid
from supervisor.core.units import parse_duration_s

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_TIME_OF_DAY = re.compile(r"(\d{1,2})(?::(\d{2})(?::(\d{2}))?)?\s*(am|pm)?", re.ASCII)
_NAMED_TIMES = {"noon": time(12), "midnight": time(0)}
HELP = (
    "write 2026-01-31T08:00 (local time, or with a zone as in 2026-01-31T08:00:00Z), 18:00, tomorrow 09:00, "
    "monday 7:30pm or in 2h30m"
)


def moment_of(value: str | datetime, now: datetime | None = None) -> str:
    """RFC 3339 UTC of `value`; raises InvalidRequest with the legal forms. `now` is for tests."""
    try:
        when = _read(value.strip(), now or datetime.now(UTC)) if isinstance(value, str) else value
        return _utc(when).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    except StopIteration:
        raise invalid(f"--at: {value!r} is over already; leave --at out to run it now") from None
    except (ValueError, OverflowError, OSError):
        raise invalid(f"--at: {value!r} is not a date and time: {HELP}") from None


def is_exact(text: str) -> bool:
    """Whether it names a moment by itself: ISO 8601 with a zone."""
    try:
        return datetime.fromisoformat(text.strip()).tzinfo is not None
    except ValueError:
        return False


def _utc(when: datetime) -> datetime:
    # HAZARD: astimezone() of a local time that the clocks skip goes an hour back instead of forward.
    return datetime.fromtimestamp(when.timestamp(), UTC) if when.tzinfo is None else when.astimezone(UTC)


def _read(text: str, now: datetime) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    words = text.lower().split()
    if words[:1] == ["in"]:
        return now + timedelta(seconds=parse_duration_s(" ".join(words[1:])))
    days, rest = _days(words)
    of_day = _time_of_day(" ".join(rest))
    today = now.astimezone().date()
    candidates = (datetime.combine(day, of_day) for day in _from(today) if days(day, today))
    return next(when for when in candidates if _utc(when) > now)


def _from(today: date) -> Iterator[date]:
    """Today and the week after it: whatever a word means lies there, or is over."""
    return (today + timedelta(days=number) for number in range(8))


def _days(words: list[str]) -> tuple[Callable[[date, date], bool], list[str]]:
    """Which days the first word means (any, if it names none), and the other words."""
    first, rest = words[0] if words else "", words[1:]
    if first in ("today", "tomorrow"):
        return (lambda day, today: (day - today).days == (first == "tomorrow")), rest
    if any(len(first) >= 3 and name.startswith(first) for name in WEEKDAYS):
        return (lambda day, _: WEEKDAYS[day.weekday()].startswith(first)), rest
    return (lambda _, __: True), words


def _time_of_day(text: str) -> time:
    text = text.removeprefix("at ")
    if text in _NAMED_TIMES:
        return _NAMED_TIMES[text]
    match = _TIME_OF_DAY.fullmatch(text)
    if match is None or (match[2] is None and match[4] is None):
        raise ValueError  # 9 alone may be meant in several ways
    hour, half = int(match[1]), match[4]
    if half is not None:
        if not 1 <= hour <= 12:
            raise ValueError
        hour = hour % 12 + 12 * (half == "pm")
    return time(hour, int(match[2] or 0), int(match[3] or 0))
