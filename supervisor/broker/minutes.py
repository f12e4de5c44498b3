"""A line in the log each minute in which something ran. Nothing ran: no line, and no timer.

The first attempt that begins or ends arms the timer; while anything runs it is armed again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from loguru import logger

from supervisor.core.names import QUEUED, RUNNING, SCHEDULED
from supervisor.core.state import Cue
from supervisor.store import Event

MINUTE_S: Final = 60.0
_RAN: Final = frozenset({Cue.LEASED, Cue.COMPLETED, Cue.FAILED, Cue.CANCELLED, Cue.RETRY, Cue.RELEASED})


class Minutes:
    """`counts` gives the number of jobs by state; `say` gets each line."""

    def __init__(
        self,
        counts: Callable[[], Mapping[str, int]],
        say: Callable[[str], None] = logger.info,
        minute_s: float = MINUTE_S,
    ) -> None:
        self._counts = counts
        self._say = say
        self._minute_s = minute_s
        self._kinds: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def note(self, events: Sequence[Event]) -> None:
        """These were just committed."""
        ran = [event.kind for event in events if event.kind in _RAN]
        if ran:
            self._kinds.update(ran)
            self._arm()

    def close(self) -> None:
        """Says what there is to be said of a minute that was cut short."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._say(sentence(self._kinds, self._counts()))

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._minute_s, self._over)

    def _over(self) -> None:
        self._timer = None
        counts = self._counts()
        kinds, self._kinds = self._kinds, Counter()
        if counts[RUNNING]:
            self._arm()
        self._say(sentence(kinds, counts))


def sentence(kinds: Mapping[str, int], counts: Mapping[str, int]) -> str:
    """`last minute: 12 completed, 1 failed; now 2 running, 40 queued, 0 scheduled`."""
    told = [
        f"{kinds.get(cue, 0)} {words}"
        for cue, words, always in (
            (Cue.COMPLETED, "completed", True),
            (Cue.FAILED, "failed", True),
            (Cue.CANCELLED, "cancelled", False),
            (Cue.RETRY, "to be tried again", False),
            (Cue.RELEASED, "queued again", False),
        )
        if always or kinds.get(cue, 0)
    ]
    now = ", ".join(f"{counts[state]} {state}" for state in (RUNNING, QUEUED, SCHEDULED))
    return f"last minute: {', '.join(told)}; now {now}"
