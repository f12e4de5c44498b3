"""Removing jobs and what lies on the disk of them: first the rows, durably, then the files.

Invariants: between two steps others get as much time as the step took; a file of the spool goes only if no stored
job refers to it, nobody holds it and it has lain there for a while: all three are asked in the one turn of the loop
that takes it away. What a crash leaves is found by `broker.retention`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

from supervisor import kept
from supervisor.broker.commit import Committer
from supervisor.broker.feed import Feed
from supervisor.broker.holds import Holds
from supervisor.core.errors import RequestError
from supervisor.core.names import FINAL_STATES
from supervisor.paths import Paths
from supervisor.store import Chosen, Reader, Tx, contents_needed, remove, states_of

T = TypeVar("T")
FRESH_S: Final = 3600.0
"""So long content may lie in the spool before the submit that names it comes."""


class Remover:
    """The one place from which jobs and their files are removed."""

    def __init__(self, paths: Paths, reader: Reader, committer: Committer, feed: Feed, holds: Holds) -> None:
        self._paths = paths
        self._reader = reader
        self._committer = committer
        self._feed = feed
        self._holds = holds
        self._under_way: set[asyncio.Task[dict[int, Chosen]]] = set()
        self._closing = False

    async def remove(self, jobs: Mapping[int, Chosen], owner_uid: int | None = None) -> dict[int, Chosen]:
        """Removes those that still are as they were chosen (and `owner_uid`'s, unless None); returns them.

        Raises RequestError `stopping` once the broker is closing.
        """
        if self._closing:
            raise RequestError("stopping", "the daemon is shutting down")
        # Who asked may go away meanwhile: what was begun is finished all the same, and those who wait are told.
        task = asyncio.ensure_future(self._remove(jobs, owner_uid))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Begins nothing more; returns when the steps that are under way are done."""
        self._closing = True
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _remove(self, jobs: Mapping[int, Chosen], owner_uid: int | None) -> dict[int, Chosen]:
        removed: dict[int, Chosen] = {}
        while jobs and not self._closing:
            done = await self.gently(partial(remove, jobs=jobs, owner_uid=owner_uid))
            self._feed.ring(done.jobs)
            await self.discard([kept.outputs_folder(self._paths, job) for job in done.jobs])
            await self.drop_contents(done.contents)
            removed |= done.jobs
            jobs = done.rest
        return removed

    async def drop_contents(self, contents: Collection[str]) -> int:
        """Removes those files of the spool that nothing needs; returns how many."""
        needed = contents_needed(self._reader, contents)
        taken = [self._take(sha256) for sha256 in contents if sha256 not in needed and sha256 not in self._holds]
        return await self.discard(path for path in taken if path is not None)

    async def drop_drafts(self, drafts: Iterable[str]) -> int:
        """Removes unfinished contents to which nothing has been added for a while; returns how many."""
        return await self.discard(path for path in map(self._take, drafts) if path is not None)

    async def drop_outputs(self, jobs: Iterable[int]) -> int:
        """Removes what finished jobs wrote; returns of how many."""
        wanted = list(jobs)
        states = states_of(self._reader, wanted)
        # HAZARD: no await from here on. A job that is queued again gets its lease through this very loop, so that
        # its worker cannot have begun to write before its folder was taken away.
        taken = [kept.set_outputs_aside(self._paths, job) for job in wanted if states.get(job) in FINAL_STATES]
        return await self.discard(path for path in taken if path is not None)

    async def gently(self, call: Callable[[Tx], T]) -> T:
        """Runs a call that may use the reserve, since it makes room; then leaves the writer to others for as long."""
        began_s = time.monotonic()
        result = await self._committer.run(call, essential=True)
        await asyncio.sleep(time.monotonic() - began_s)
        return result

    async def discard(self, paths: Iterable[str]) -> int:
        """Removes files and folders that nobody looks for any more; returns how many."""
        gone = list(paths)
        if gone:
            await asyncio.to_thread(_discard, gone)
        return len(gone)

    def _take(self, name: str) -> str | None:
        file = kept.spool_file(self._paths, name)
        if file is None or not is_stale(file.changed_s):
            return None
        return kept.set_content_aside(self._paths, name)


def _discard(paths: Sequence[str]) -> None:
    for path in paths:
        kept.discard(path)


def is_stale(changed_s: float) -> bool:
    """Whether a file has lain there for so long that nobody is about to submit it any more."""
    return time.time() - changed_s > FRESH_S
