"""Backups: a copy of the database and the large contents its jobs need, handed out in pieces as one tar archive.

The copy is made in the state folder, checked, and has no name any more from then on: whatever dies, its space is
free again. A client that stops asking loses it after a while. No path is ever taken from a client, or given to one.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import itertools
import os
import secrets
from contextlib import ExitStack
from typing import Final, NamedTuple

from supervisor.broker.archive import Archive
from supervisor.broker.holds import Holds
from supervisor.core.errors import RequestError
from supervisor.paths import Paths
from supervisor.spool import Spool
from supervisor.store import DatabaseCopy

IDLE_S: Final = 60.0
DATABASE_NAME: Final = "queue.db"


class _Made(NamedTuple):
    archive: Archive
    stack: ExitStack
    timer: asyncio.TimerHandle


class Backups:
    """The archives that are being fetched now, by random names."""

    def __init__(self, paths: Paths, spool: Spool, holds: Holds) -> None:
        self._paths = paths
        self._spool = spool
        self._holds = holds
        self._made: dict[str, _Made] = {}
        self._one_at_a_time = asyncio.Lock()
        self._numbers = itertools.count(1)

    async def make(self) -> tuple[str, int]:
        """The name of a new archive, and its size; raises RequestError `storage_full`."""
        async with self._one_at_a_time:
            with ExitStack() as stack:
                with self._holds.hold_all():
                    descriptor, contents = await self._copy_database()
                    stack.enter_context(self._holds.hold(contents))
                archive = self._archive(descriptor, contents)
                stack.callback(archive.close)
                name = secrets.token_hex(16)
                self._made[name] = _Made(archive, stack.pop_all(), self._timer(name))
                return name, archive.size

    async def read(self, name: str, offset: int, length: int) -> tuple[bytes, bool]:
        """A piece of an archive, and whether it is the last one: then the archive is gone. Raises `not_found`."""
        made = self._made.get(name)
        if made is None:
            raise RequestError("not_found", "there is no such backup any more: begin again with `backup`")
        made.timer.cancel()
        # While a piece is read nobody may close what it is read from.
        del self._made[name]
        try:
            data = await asyncio.to_thread(made.archive.read, offset, length)
        except BaseException:
            made.stack.close()
            raise
        last = offset + len(data) >= made.archive.size
        if last:
            made.stack.close()
        else:
            self._made[name] = made._replace(timer=self._timer(name))
        return data, last

    async def _copy_database(self) -> tuple[int, list[str]]:
        """A descriptor of the nameless copy, and the contents that its jobs refer to."""
        self._remove_leftovers()
        target = f"{self._paths.state_dir}/backup.{next(self._numbers)}.partial"
        copy = DatabaseCopy(self._paths.database, target)
        try:
            contents = await asyncio.to_thread(copy.make)
            return os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), contents
        except asyncio.CancelledError:
            copy.stop()
            raise
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(target)

    def _archive(self, descriptor: int, contents: list[str]) -> Archive:
        archive = Archive()
        archive.add_file(DATABASE_NAME, descriptor, os.fstat(descriptor).st_size)
        archive.add_folder("spool/")
        for sha256 in sorted(contents):
            size = self._spool.size(sha256)
            if size is not None:  # otherwise it is small, and lies in the database
                archive.add_file(f"spool/{sha256}", self._spool.path(sha256), size)
        archive.finish()
        return archive

    def _timer(self, name: str) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(IDLE_S, self._drop, name)

    def _drop(self, name: str) -> None:
        made = self._made.pop(name, None)
        if made is not None:
            made.stack.close()

    def _remove_leftovers(self) -> None:
        for path in glob.glob(f"{glob.escape(self._paths.state_dir)}/backup.*.partial*"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
