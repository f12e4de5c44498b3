"""Watching over the living: who is silent for too long is hung, who has grown too large is ended. One look a tick.

Kernel facts and shared memory only; durations by the monotonic clock, which a suspended machine stops. A look that
comes late itself (this process was stopped or starved) blames nobody: everybody gets a fresh period.
"""

from __future__ import annotations

from typing import Final

from supervisor.arbiter import proc
from supervisor.arbiter.broker import Broker
from supervisor.arbiter.fleet import WorkerFleet
from supervisor.arbiter.loop import Loop
from supervisor.arbiter.slot import WorkerSlot
from supervisor.core.fleet import BEATS_A_PERIOD, overslept, silence_s
from supervisor.core.units import format_size
from supervisor.scoreboard import Slot

STARTING_S: Final = 60.0
"""Until its first beat a child may take at least this long: it tries out the sandbox, or migrates the database."""
HARD_FACTOR: Final = 2
"""A worker that has more than so many times its pool's `max_rss` is not waited for."""


class Watch:
    """`hang_timeout_s` without a beat is too long."""

    def __init__(self, loop: Loop, fleet: WorkerFleet, broker: Broker, hang_timeout_s: float) -> None:
        self._loop = loop
        self._fleet = fleet
        self._broker = broker
        self._timeout_s = hang_timeout_s
        self._interval_s = hang_timeout_s / BEATS_A_PERIOD
        self._fresh_since_s = loop.now_s()
        self._due_s = 0.0

    def begin(self) -> None:
        """Looks at everybody from now on."""
        self._due_s = self._loop.now_s() + self._interval_s
        self._loop.later(self._interval_s, self._look)

    def _look(self) -> None:
        now_s = self._loop.now_s()
        if overslept(now_s, self._due_s, self._interval_s):
            self._fresh_since_s = now_s
        for slot in list(self._fleet.slots):
            self._look_at(slot, now_s)
        if self._broker.child is not None:
            verdict = self._verdict(self._broker.scoreboard, self._broker.started_at_s, now_s)
            if verdict is not None:
                self._broker.condemn(verdict)
        self.begin()

    def _look_at(self, slot: WorkerSlot, now_s: float) -> None:
        if slot.child is None:
            return
        verdict = self._verdict(slot.scoreboard, slot.started_at_s, now_s)
        if verdict is not None:
            self._fleet.condemn(slot, verdict, dump=True)
            return
        soft_bytes = getattr(slot.pool, "max_rss_bytes", None)
        if not soft_bytes:
            return
        rss_bytes = proc.rss_bytes(slot.child.pid)
        if rss_bytes > HARD_FACTOR * soft_bytes:
            self._fleet.condemn(
                slot,
                f"grew to {format_size(rss_bytes)}, more than {HARD_FACTOR} times its pool's max_rss "
                f"({format_size(soft_bytes)})",
                dump=False,
            )

    def _verdict(self, scoreboard: Slot, started_at_s: float, now_s: float) -> str | None:
        beat_s = scoreboard.beat_ns / 1e9
        timeout_s = self._timeout_s if beat_s else max(self._timeout_s, STARTING_S)
        silent_s = silence_s(now_s, beat_s, max(started_at_s, self._fresh_since_s))
        return f"hung: no beat for {silent_s:.0f} s" if silent_s > timeout_s else None
