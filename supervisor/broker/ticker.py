"""Makes scheduled jobs due. Nothing scheduled: no timer.

People schedule by the wall clock, which jumps: while anything is scheduled it is compared at least every 30 s.
"""

from __future__ import annotations

import asyncio
from typing import Final

from loguru import logger

from supervisor.broker.commit import Committer, wall_us
from supervisor.core.errors import RequestError
from supervisor.store import Reader, next_due_us, promote_due

LONGEST_SLEEP_S: Final = 30.0
RETRY_S: Final = 1.0


class Ticker:
    """Sleeps until the next due time, or until it is told that something was scheduled."""

    def __init__(self, committer: Committer, reader: Reader) -> None:
        self._committer = committer
        self._reader = reader
        self._changed = asyncio.Event()
        self._changed.set()

    def something_scheduled(self) -> None:
        """A job was scheduled: look again."""
        self._changed.set()

    async def run(self) -> None:
        """For as long as the broker lives."""
        while True:
            await self._sleep()
            try:
                await self._promote()
            except RequestError as error:
                logger.warning("due jobs could not be queued, trying again: {}", error)
                await asyncio.sleep(RETRY_S)
                self._changed.set()

    async def _sleep(self) -> None:
        due = next_due_us(self._reader)
        patience = None if due is None else min(LONGEST_SLEEP_S, max(0.0, (due - wall_us()) / 1e6))
        try:
            await asyncio.wait_for(self._changed.wait(), patience)
        except TimeoutError:
            return
        self._changed.clear()

    async def _promote(self) -> None:
        due = next_due_us(self._reader)
        while due is not None and due <= wall_us():
            await self._committer.run(promote_due)
            due = next_due_us(self._reader)
