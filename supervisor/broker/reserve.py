"""A little disk space kept back, so that a full disk stops submits but not the outcomes of what already runs."""

from __future__ import annotations

import contextlib
import os
from typing import Final

from loguru import logger

RESERVE_BYTES: Final = 1 << 20
MAKE_WHEN_FREE_BYTES: Final = 8 << 20


class Reserve:
    """The reserve file. It is given up once the disk is full, and made again when there is plenty of room."""

    def __init__(self, path: str) -> None:
        self._path = path

    def make(self) -> None:
        """Makes it, if it is missing and the disk has room."""
        if os.path.exists(self._path):
            return
        with contextlib.suppress(OSError):
            room = os.statvfs(os.path.dirname(self._path))
            if room.f_bavail * room.f_frsize < MAKE_WHEN_FREE_BYTES:
                return
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
            finally:
                os.close(descriptor)

    def give_up(self) -> None:
        """Frees its space."""
        with contextlib.suppress(OSError):
            os.unlink(self._path)
            logger.warning("the disk is full: the reserve is given up so that outcomes can still be recorded")
