"""How far the webhooks are, in a small file of their own: every event up to the cursor was looked at, and what of them
is still open is listed. Whatever else is lost with the process is delivered again: at least once, never not at all.

It is as small as what is open.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final

import msgspec
from loguru import logger

NAME: Final = "webhooks"
Open = tuple[int, str]
"""An event's cursor, and where its webhook goes."""


class Page(msgspec.Struct, frozen=True):
    """What is written."""

    cursor: int
    open: tuple[Open, ...] = ()


class Ledger:
    """`read` is the newest event that was looked at, `open` what is still to be delivered."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._written: Page | None = None
        self.open: set[Open] = set()
        self.read = 0

    def load(self) -> list[Open] | None:
        """Takes up what was written, and returns what was open then; None if there is nothing that can be read."""
        try:
            with open(self._path, "rb") as file:
                page = msgspec.json.decode(file.read(), type=Page)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            logger.error("{} cannot be read, webhooks begin anew: {}", self._path, error)
            return None
        self.read, self.open, self._written = page.cursor, set(page.open), page
        return list(page.open)

    def begin(self, cursor: int) -> None:
        """Nothing up to `cursor` is to be delivered."""
        self.read = cursor
        self.open.clear()

    def forget(self) -> None:
        """Removes the file: whoever wants webhooks later begins then."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)

    def write(self) -> None:
        """Makes it durable, if it has changed. Raises OSError."""
        page = Page(self.read, tuple(sorted(self.open)))
        if page == self._written:
            return
        unfinished = f"{self._path}.new"
        fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            text = memoryview(msgspec.json.encode(page))
            while text:
                text = text[os.write(fd, text) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(unfinished, self._path)
        self._written = page
