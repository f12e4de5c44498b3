"""How far the webhooks are, in a small file of their own: every event up to the cursor is dealt with, and beyond it
those that are listed. Whatever else is lost with the process is delivered again: at least once, never not at all.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Final

import msgspec
from loguru import logger

NAME: Final = "webhooks"
Done = tuple[int, str]
"""An event's cursor, and where its webhook went."""


class Page(msgspec.Struct, frozen=True):
    """What is written."""

    cursor: int
    done: tuple[Done, ...] = ()


class Ledger:
    """`read` is the newest event that was looked at; what of it is still open is in `open`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._open: set[Done] = set()
        self._done: set[Done] = set()
        self._written: Page | None = None
        self.read = 0

    @property
    def open(self) -> Collection[Done]:
        """What is not dealt with."""
        return self._open

    def load(self) -> bool:
        """Takes up what was written; False if there is nothing that can be read."""
        try:
            with open(self._path, "rb") as file:
                page = msgspec.json.decode(file.read(), type=Page)
        except FileNotFoundError:
            return False
        except (OSError, msgspec.DecodeError) as error:
            logger.error("{} cannot be read, webhooks begin anew: {}", self._path, error)
            return False
        self.read, self._done, self._written = page.cursor, set(page.done), page
        return True

    def begin(self, cursor: int) -> None:
        """Nothing up to `cursor` is to be delivered."""
        self.read, self._done = cursor, set()
        self._open.clear()

    def is_done(self, one: Done) -> bool:
        """Whether it was delivered before we were started."""
        return one in self._done

    def opened(self, one: Done) -> None:
        """It is to be delivered."""
        self._open.add(one)

    def closed(self, one: Done) -> None:
        """It was delivered, or given up."""
        self._open.discard(one)
        self._done.add(one)

    def page(self) -> Page:
        """How far everything is now."""
        cursor = min((event - 1 for event, _ in self._open), default=self.read)
        self._done = {one for one in self._done if one[0] > cursor}
        return Page(cursor, tuple(sorted(self._done)))

    def write(self) -> None:
        """Makes it durable, if it has changed. Raises OSError."""
        page = self.page()
        if page == self._written:
            return
        unfinished = f"{self._path}.new"
        fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.write(fd, msgspec.json.encode(page))
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(unfinished, self._path)
        self._written = page
