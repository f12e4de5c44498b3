"""Wakes those who wait for something to happen: to some jobs, or at all. It carries no data: the database does.

Who is woken looks again from its own cursor, so that a wake-up can neither be lost in between nor come twice.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from supervisor.core.names import FINAL_STATES
from supervisor.store import Event, rfc3339


class Bell(asyncio.Event):
    """Rings for jobs. `ends_only`: of what happens to them it hears their ends alone."""

    def __init__(self, *, ends_only: bool = False) -> None:
        super().__init__()
        self.ends_only = ends_only
        self._jobs: set[int] = set()

    def ring(self, job: int) -> None:
        """Something happened to `job`."""
        self._jobs.add(job)
        self.set()

    def take(self) -> set[int]:
        """The jobs for which it rang since this was asked last; from now on it is silent until it rings again."""
        self.clear()
        jobs, self._jobs = self._jobs, set()
        return jobs


class Feed:
    """Bells by job; a bell rings at each committed event of its job, the common ones at each event of all."""

    def __init__(self) -> None:
        self._bells: defaultdict[int, set[Bell]] = defaultdict(set)
        self._common: set[asyncio.Event] = set()

    def publish(self, events: Sequence[Event]) -> None:
        """Rings for what was just committed."""
        if self._bells:
            for event in events:
                if event.job is not None:
                    for bell in self._bells.get(event.job, ()):
                        if not bell.ends_only or event.state in FINAL_STATES:
                            bell.ring(event.job)
        if events:
            for common in self._common:
                common.set()

    def ring(self, jobs: Iterable[int]) -> None:
        """Rings for jobs that have no event any more: they are gone."""
        for job in jobs:
            for bell in self._bells.get(job, ()):
                bell.ring(job)

    @contextmanager
    def bell(self, *jobs: int, ends_only: bool = False) -> Iterator[Bell]:
        """A bell that rings at events of `jobs`, or at their ends. Clear it (or `take`) first, then look, then wait."""
        bell = Bell(ends_only=ends_only)
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
