"""Carries out how long finished jobs are kept: at the start, then each hour, and when somebody asks for it.

One round at a time, in small steps: jobs by age and number, outputs above their budget, old events, files that
nothing belongs to (also what a crash left half removed), then the database's free pages. Decides nothing: that is
`core.retention`.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Final, TypeVar

import msgspec
from loguru import logger

from supervisor import kept
from supervisor.broker.commit import wall_us
from supervisor.broker.removal import Remover, is_stale
from supervisor.core.errors import RequestError
from supervisor.core.names import FINAL_STATES
from supervisor.core.retention import Cut, Retention, cutoff_us, cuts, doomed
from supervisor.core.units import format_size
from supervisor.paths import Paths
from supervisor.store import (
    Chosen,
    Finished,
    Reader,
    Tx,
    counts,
    finished_jobs,
    forget_empty_queues,
    give_back_pages,
    jobs_that_exist,
    note_outputs_removed,
    remove_old_events,
)

T = TypeVar("T")
EVERY_S: Final = 3600.0
PAGE: Final = 500
FILES_AT_ONCE: Final = 200


class Step(msgspec.Struct, kw_only=True):
    """What a step of a round has removed, or would: whole jobs, and of how many others the outputs."""

    jobs: dict[int, Chosen] = {}
    outputs_jobs: int = 0
    outputs_bytes: int = 0


Tell = Callable[[Step], Awaitable[None]]


class Rounds:
    """The rounds. `retention` gives the settings that hold now."""

    def __init__(self, paths: Paths, reader: Reader, remover: Remover, retention: Callable[[], Retention]) -> None:
        self._paths = paths
        self._reader = reader
        self._remover = remover
        self._retention = retention
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """For as long as the broker lives."""
        while True:
            try:
                await self._log_round()
            except (RequestError, OSError) as error:
                logger.warning("retention could not be carried out, trying again in an hour: {}", error)
            await asyncio.sleep(EVERY_S)

    async def apply(self, tell: Tell, *, dry_run: bool = False) -> None:
        """One round; `tell` hears of each step. `dry_run` removes nothing."""
        async with self._one_at_a_time:
            going: set[int] = set()
            for cut in cuts(self._retention(), counts(self._reader), wall_us()):
                await self._cut(cut, tell, going if dry_run else None)
            await self._keep_outputs_within_budget(tell, going, dry_run=dry_run)
            if not dry_run:
                await self._remove_old_events()
                await self._sweep_spool()
                await self._until_nothing_is_left(give_back_pages)
                await self._until_nothing_is_left(forget_empty_queues)

    async def _log_round(self) -> None:
        done = Step()

        async def add(step: Step) -> None:
            done.jobs |= dict.fromkeys(step.jobs, Chosen("", 0))
            done.outputs_jobs += step.outputs_jobs
            done.outputs_bytes += step.outputs_bytes

        await self.apply(add)
        if done.jobs or done.outputs_jobs:
            logger.info(
                "retention removed {} jobs, and the outputs of {} others ({})",
                len(done.jobs),
                done.outputs_jobs,
                format_size(done.outputs_bytes),
            )

    # Jobs

    async def _cut(self, cut: Cut, tell: Tell, going: set[int] | None) -> None:
        """Removes what `cut` says; with `going`, only collects there what would go."""
        after: Finished | None = None
        while True:
            page = finished_jobs(self._reader, cut.state, after, PAGE)
            number = doomed(cut, [job.finished_us for job in page])
            if not number:
                return
            chosen = {job.job: Chosen(cut.state, job.finished_us) for job in page[:number]}
            if going is None:
                chosen = await self._remover.remove(chosen)
            else:
                going |= chosen.keys()
                await asyncio.sleep(0)
            await tell(Step(jobs=chosen))
            cut = cut._replace(surplus=max(0, cut.surplus - number))
            after = page[number - 1]

    # Outputs

    async def _keep_outputs_within_budget(self, tell: Tell, going: set[int], *, dry_run: bool) -> None:
        total = await self._measure(going, dry_run=dry_run)
        budget = self._retention().outputs_bytes
        if budget is None or total <= budget:
            return
        oldest = self._oldest_first()
        while total > budget and (jobs := list(islice(oldest, FILES_AT_ONCE))):
            sizes = await asyncio.to_thread(self._sizes, [job for job in jobs if job not in going])
            chosen: dict[int, int] = {}
            for job, size in sizes.items():
                if total > budget and size:
                    chosen[job] = size
                    total -= size
            if not dry_run and chosen:
                await self._drop_outputs(chosen)
            if chosen:
                await tell(Step(outputs_jobs=len(chosen), outputs_bytes=sum(chosen.values())))

    async def _measure(self, going: set[int], *, dry_run: bool) -> int:
        """What all outputs take. Folders whose job is gone go as well, and what was left of removing others."""
        if not dry_run:
            await self._remover.discard(await asyncio.to_thread(kept.left_aside, self._paths))
        total = 0
        # Listed before the jobs are asked for: a folder is made after its job is stored.
        folders = await asyncio.to_thread(lambda: list(kept.jobs_with_outputs(self._paths)))
        for part in _parts(folders):
            there = jobs_that_exist(self._reader, part)
            sizes = await asyncio.to_thread(self._sizes, sorted(there - going))
            total += sum(sizes.values())
            if not dry_run:
                await self._remover.discard(kept.outputs_folder(self._paths, job) for job in part if job not in there)
        return total

    def _sizes(self, jobs: Sequence[int]) -> dict[int, int]:
        return {job: kept.outputs_bytes(self._paths, job) or 0 for job in jobs}

    def _oldest_first(self) -> Iterator[int]:
        return (job.job for job in heapq.merge(*(self._all_in(state) for state in sorted(FINAL_STATES))))

    def _all_in(self, state: str) -> Iterator[Finished]:
        after: Finished | None = None
        while page := finished_jobs(self._reader, state, after, PAGE):
            yield from page
            after = page[-1]

    async def _drop_outputs(self, sizes: dict[int, int]) -> None:
        def note(tx: Tx) -> list[int]:
            return [job for job, size in sizes.items() if note_outputs_removed(tx, job, {"bytes": size})]

        await self._remover.drop_outputs(await self._remover.gently(note))

    # The rest

    async def _remove_old_events(self) -> None:
        before_us = cutoff_us(self._retention().events_s, wall_us())
        if before_us is not None:
            await self._until_nothing_is_left(partial(remove_old_events, before_us=before_us))

    async def _sweep_spool(self) -> None:
        files = await asyncio.to_thread(lambda: list(kept.spool_files(self._paths)))
        stale = [file for file in files if is_stale(file.changed_s)]
        await self._remover.drop_drafts([file.name for file in stale if file.draft])
        for part in _parts([file.name for file in stale if not file.draft]):
            await self._remover.drop_contents(part)

    async def _until_nothing_is_left(self, call: Callable[[Tx], int]) -> None:
        while await self._remover.gently(call):
            pass


def _parts(whole: Sequence[T]) -> Iterator[Sequence[T]]:
    return (whole[start : start + FILES_AT_ONCE] for start in range(0, len(whole), FILES_AT_ONCE))
