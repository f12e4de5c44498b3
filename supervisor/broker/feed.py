"""Wakes those who wait for something to happen: to some jobs, or at all. It carries no data: the database does.

Who is woken looks again from its own cursor, so that a wake-up can neither be lost in between nor come twice.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from supervisor.store import Event, rfc3339


class Feed:
    """Bells by job; a bell rings at each committed event of its job, the common ones at each event of all."""

    def __init__(self) -> None:
        self._bells: defaultdict[int | None, set[asyncio.Event]] = defaultdict(set)
        self._common: set[asyncio.Event] = set()

    def publish(self, events: Sequence[Event]) -> None:
        """Rings for what was just committed."""
        for event in events:
            for bell in self._bells.get(event.job, ()):
                bell.set()
        if events:
            for bell in self._common:
                bell.set()

    def ring(self, jobs: Iterable[int]) -> None:
        """Rings for jobs that have no event any more: they are gone."""
        for job in jobs:
            for bell in self._bells.get(job, ()):
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

    @contextmanager
    def common_bell(self) -> Iterator[asyncio.Event]:
        """A bell that rings at every event: of any job, of the workers, of the daemon."""
        bell = asyncio.Event()
        self._common.add(bell)
        try:
            yield bell
        finally:
            self._common.discard(bell)


def event_item(event: Event) -> dict[str, Any]:
    """What a client is sent of an event."""
    return {
        "cursor": event.id,
        "event": event.kind,
        "job": event.job,
        "at": rfc3339(event.at_us),
        "state": event.state,
        "attempt": event.attempt,
        "data": event.data,
    }
