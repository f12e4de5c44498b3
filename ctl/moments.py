"""Times of the daemon (RFC 3339 UTC) for people: how long ago, and when by the local clock."""

from __future__ import annotations

import time

from supervisor.core.units import format_duration


def epoch_s(text: str | None) -> float | None:
    """Seconds since 1970 of `text`, None if there is none."""
    if not text:
        return None
    from datetime import datetime

    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def distance(text: str | None, now_s: float | None = None) -> str:
    """`3 min ago`, `in 2 h`, or `-`."""
    at_s = epoch_s(text)
    if at_s is None:
        return "-"
    seconds = (time.time() if now_s is None else now_s) - at_s
    rough = _rough(abs(seconds))
    return f"{rough} ago" if seconds >= 0 else f"in {rough}"


def local(text: str | None) -> str:
    """`2026-01-02 03:04:05.123` by the local clock, or `-`."""
    at_s = epoch_s(text)
    if at_s is None:
        return "-"
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_s)) + f".{int(at_s * 1000) % 1000:03}"


def between(start: str | None, end: str | None) -> str:
    """How long from `start` to `end` (now, if that is not yet), or `-`."""
    start_s = epoch_s(start)
    if start_s is None:
        return "-"
    end_s = epoch_s(end)
    return format_duration(max(0.0, (time.time() if end_s is None else end_s) - start_s))


def _rough(seconds: float) -> str:
    for unit_s, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit_s or (name == "min" and seconds >= unit_s):
            return f"{int(seconds // unit_s)} {name}"
    return f"{int(seconds)} s"
