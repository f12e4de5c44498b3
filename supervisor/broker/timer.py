"""A timer that is started and stopped many times, and is set once at most. It decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Timer:
    """Calls once, unless it is stopped before. Started while it runs, it keeps its time."""

    def __init__(self) -> None:
        self._handle: asyncio.TimerHandle | None = None

    def start(self, after_s: float, call: Callable[[], None]) -> None:
        """It will call `call`."""
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(after_s, call)

    def stop(self) -> None:
        """It will not."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
