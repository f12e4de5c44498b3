"""What a row of measured numbers comes to. Values in, values out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Spread(NamedTuple):
    """Half of the values are at most `p50`, 95 of 100 at most `p95`; None where there was no value."""

    p50: float | None
    p95: float | None
    greatest: float | None


def spread(values: Sequence[float]) -> Spread:
    """Each is one of the values: the least that so many of them do not pass (nearest rank)."""
    if not values:
        return Spread(None, None, None)
    ordered = sorted(values)
    return Spread(_rank(ordered, 0.5), _rank(ordered, 0.95), ordered[-1])


def _rank(ordered: Sequence[float], share: float) -> float:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
