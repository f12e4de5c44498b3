"""How many requests an address may make: a bucket of tokens each, refilled with time. Values and a clock, no I/O."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

MOST_ADDRESSES: Final = 4096
BURST_S: Final = 2.0
"""A bucket holds what comes together in so many seconds."""


class Buckets:
    """`rate` requests a second for each address, None for any number. The addresses seen longest ago are forgotten."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._full = max(1.0, (rate or 0.0) * BURST_S)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str, now_s: float) -> float:
        """0 if this address may make a request now, else after how many seconds it may."""
        if self._rate is None:
            return 0.0
        tokens, at_s = self._left.pop(address, (self._full, now_s))
        tokens = min(self._full, tokens + (now_s - at_s) * self._rate)
        wait_s = 0.0 if tokens >= 1.0 else (1.0 - tokens) / self._rate
        self._left[address] = (tokens - 1.0 if wait_s == 0.0 else tokens, now_s)
        if len(self._left) > MOST_ADDRESSES:
            self._left.popitem(last=False)
        return wait_s
