"""Decides the rest where more jobs waited for one than a single transaction decides.

Nothing of it is remembered on disk but the undecided rows themselves: a new broker looks once for all that is left.
Otherwise it looks only at what a batch of so many events has ended, so that nothing is ever searched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from loguru import logger

from supervisor.broker.commit import Committer
from supervisor.core.errors import RequestError
from supervisor.core.names import FINAL_STATES
from supervisor.store import DECIDED_AT_ONCE, Event, Reader, decide_rest, jobs_with_undecided

RETRY_S: Final = 1.0


class Cascade:
    """Goes on, a transaction at a time, as long as final jobs have others that wait for them."""

    def __init__(self, committer: Committer, reader: Reader) -> None:
        self._committer = committer
        self._reader = reader
        self._ended: set[int] = set()
        self._more = asyncio.Event()

    def happened(self, events: Sequence[Event]) -> None:
        """A batch was committed. Only one with so many events may have left something undecided."""
        if len(events) >= DECIDED_AT_ONCE:
            self._ended.update(event.job for event in events if event.job is not None and event.state in FINAL_STATES)
            self._more.set()

    async def run(self) -> None:
        """For as long as the broker lives."""
        left = jobs_with_undecided(self._reader)
        while True:
            if not left:
                await self._more.wait()
                self._more.clear()
            # A copy and a clear in one turn of the loop: what ends from now on is for the next look.
            ended, self._ended = self._ended, set()
            left = jobs_with_undecided(self._reader, {*left, *ended})
            if left:
                await self._decide(left)

    async def _decide(self, left: Sequence[int]) -> None:
        try:
            await self._committer.run(partial(decide_rest, jobs=left))
        except RequestError as error:
            logger.warning("what waits for jobs that ended could not be decided, trying again: {}", error)
            await asyncio.sleep(RETRY_S)
