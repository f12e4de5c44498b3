"""Moments as the interface writes them: RFC 3339, UTC, six decimals. Stored as microseconds since the epoch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LAST_US: Final = 253_402_300_799_999_999
"""The last microsecond of the year 9999: what can be written down ends there."""


def rfc3339(us: int) -> str:
    """`2026-01-02T03:04:05.123456Z` for microseconds since the epoch, 0 … LAST_US."""
    moment = _EPOCH + timedelta(microseconds=us)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}Z"


def maybe_rfc3339(us: int | None) -> str | None:
    """The same, and None for None."""
    return None if us is None else rfc3339(us)
