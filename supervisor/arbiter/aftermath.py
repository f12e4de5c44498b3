"""After a worker's death: sweeping, without ever blocking the loop, until nothing of its tree is left.

Orphans carry no name: whose they were cannot be told. A death is therefore settled only when no orphan at all is
alive, or after 5 s as "not gone".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from supervisor.arbiter.loop import Loop, Timer
from supervisor.arbiter.orphans import UNKILLABLE_AFTER_S, Orphans

_FIRST_DELAY_S: Final = 0.001
_LONGEST_DELAY_S: Final = 0.05
_LAG_S: Final = 1.0
"""An orphan may have been seen this long before the death that made it one."""


@dataclass(frozen=True)
class _Death:
    at_s: float
    settled: Callable[[bool], None]


class Aftermath:
    """`known` gives the pids of all children that are forked and not yet reaped."""

    def __init__(self, loop: Loop, orphans: Orphans, known: Callable[[], set[int]]) -> None:
        self._loop = loop
        self._orphans = orphans
        self._known = known
        self._deaths: list[_Death] = []
        self._timer: Timer | None = None
        self._delay_s = _FIRST_DELAY_S

    def verify(self, settled: Callable[[bool], None]) -> None:
        """Calls `settled` with whether the tree of the worker that has just died is gone, from the loop."""
        self._deaths.append(_Death(self._loop.now_s(), settled))
        self._look_again(0.0)

    def look(self) -> None:
        """Sweeps now; to be called whenever any child has changed its state."""
        clean = self._orphans.sweep(self._known())
        if clean:
            self._delay_s = _FIRST_DELAY_S
        else:
            self._look_again(self._delay_s)
            self._delay_s = min(_LONGEST_DELAY_S, self._delay_s * 2)
        self._settle(clean)

    def _look_again(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.later(delay_s, self.look)

    def _settle(self, clean: bool) -> None:
        deaths, self._deaths = self._deaths, []
        for death in deaths:
            if clean:
                death.settled(not self._orphans.unkillable_since(death.at_s - _LAG_S))
            elif self._loop.now_s() - death.at_s >= UNKILLABLE_AFTER_S:
                death.settled(False)
            else:
                self._deaths.append(death)
