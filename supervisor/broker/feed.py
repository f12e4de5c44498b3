"""Wakes those who wait for something to happen to a job. It carries no data: the database does.

Who is woken looks again from its own cursor, so that a wake-up can neither be lost in between nor come twice.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from supervisor.store import Event


class Feed:
    """Bells by job; a bell rings at each committed event of its job."""

    def __init__(self) -> None:
        self._bells: defaultdict[int, set[asyncio.Event]] = defaultdict(set)

    def publish(self, events: Sequence[Event]) -> None:
        """Rings for what was just committed."""
        for event in events:
            for bell in self._bells.get(event.job, ()):
                bell.set()

    @contextmanager
    def bell(self, *jobs: int) -> Iterator[asyncio.Event]:
        """A bell that rings at events of `jobs`. Clear it first, then look, then wait."""
        bell = asyncio.Event()
        for job in jobs:
            self._bells[job].add(bell)
        try:
            yield bell
        finally:
            for job in jobs:
                self._bells[job].discard(bell)
                if not self._bells[job]:
                    del self._bells[job]
