"""Makes scheduled jobs due. Nothing scheduled: no timer.

People schedule by the wall clock, which jumps: while anything is scheduled it is compared at least every 30 s.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from loguru import logger

from supervisor.broker.commit import Committer, wall_us
from supervisor.core.errors import RequestError
from supervisor.store import Reader, bring_back, clock_went_back, next_due_us, promote_due

LONGEST_SLEEP_S: Final = 30.0
RETRY_S: Final = 1.0


def patience_s(due_us: int | None, now_us: int) -> float | None:
    """How long to sleep at most until it is looked at what is due; None: nothing will be."""
    return None if due_us is None else min(LONGEST_SLEEP_S, max(0.0, (due_us - now_us) / 1e6))


class Ticker:
    """Sleeps until the next due time, or until it is told that something was scheduled."""

    def __init__(self, committer: Committer, reader: Reader) -> None:
        self._committer = committer
        self._reader = reader
        self._changed = asyncio.Event()
        self._changed.set()
        self._minded_s = -LONGEST_SLEEP_S

    def something_scheduled(self) -> None:
        """A job was scheduled: look again."""
        self._changed.set()

    def clock_stepped_back(self) -> None:
        """The wall clock is behind what it was."""
        self._minded_s = -LONGEST_SLEEP_S
        self._changed.set()

    async def run(self) -> None:
        """For as long as the broker lives."""
        while True:
            await self._sleep()
            try:
                await self._mind_the_clock()
                await self._promote()
            except RequestError as error:
                logger.warning("due jobs could not be queued, trying again: {}", error)
                await asyncio.sleep(RETRY_S)
                self._changed.set()

    async def _sleep(self) -> None:
        try:
            await asyncio.wait_for(self._changed.wait(), patience_s(next_due_us(self._reader), wall_us()))
        except TimeoutError:
            return
        self._changed.clear()

    async def _mind_the_clock(self) -> None:
        """A clock that was put back must not make a retry, or a job that is queued, wait for hours."""
        if time.monotonic() - self._minded_s < LONGEST_SLEEP_S:
            return
        self._minded_s = time.monotonic()
        if clock_went_back(self._reader, wall_us()) and (moved := await self._committer.run(bring_back)):
            logger.warning("the clock was put back: {} jobs that waited for it no longer do", moved)

    async def _promote(self) -> None:
        due = next_due_us(self._reader)
        while due is not None and due <= wall_us():
            await self._committer.run(promote_due)
            due = next_due_us(self._reader)
