"""The arbiter's loop: file descriptors and timers on the monotonic clock. One thread, no framework.

An exception of a callback ends the loop: an arbiter in an unknown state must not go on.
"""

from __future__ import annotations

import heapq
import itertools
import selectors
import time
from collections.abc import Callable

Callback = Callable[[], None]


class Timer:
    """Something to do later, unless cancelled."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callback) -> None:
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        """Harmless when it has fired already."""
        self.callback = None


class Loop:
    """Waits for descriptors and timers and calls what was asked for."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._exit_status: int | None = None

    def now_s(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def watch(self, fd: int, callback: Callback, events: int = selectors.EVENT_READ) -> None:
        """Calls `callback` whenever `fd` is ready; replaces what was asked for this fd before."""
        if fd in self._selector.get_map():
            self._selector.modify(fd, events, callback)
        else:
            self._selector.register(fd, events, callback)

    def unwatch(self, fd: int) -> None:
        """To be called before `fd` is closed."""
        if fd in self._selector.get_map():
            self._selector.unregister(fd)

    def later(self, delay_s: float, callback: Callback) -> Timer:
        """Calls `callback` once, after `delay_s` seconds and never from within this call."""
        timer = Timer(callback)
        heapq.heappush(self._timers, (self.now_s() + delay_s, next(self._order), timer))
        return timer

    def stop(self, exit_status: int) -> None:
        """Ends `run` with this value as soon as the current callback returns. The first call decides."""
        if self._exit_status is None:
            self._exit_status = exit_status

    def run(self) -> int:
        """Turns until `stop`."""
        while self._exit_status is None:
            for key, _ in self._selector.select(self._patience_s()):
                # An earlier callback of this turn may have closed it, and another may have got its number.
                if self._exit_status is None and self._selector.get_map().get(key.fd) is key:
                    key.data()
            self._fire_due_timers()
        return self._exit_status

    def close(self) -> None:
        """Gives the loop's own descriptor back."""
        self._selector.close()

    def _patience_s(self) -> float | None:
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - self.now_s()) if self._timers else None

    def _fire_due_timers(self) -> None:
        now_s = self.now_s()
        while self._timers and self._timers[0][0] <= now_s and self._exit_status is None:
            timer = heapq.heappop(self._timers)[2]
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
