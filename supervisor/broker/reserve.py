"""A little disk space kept back, so that a full disk stops submits but not the outcomes of what already runs."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import Final

from loguru import logger

RESERVE_BYTES: Final = 1 << 20
MAKE_WHEN_FREE_BYTES: Final = 8 << 20
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class Reserve:
    """The reserve file. It is given up once the disk is full, and made again when there is plenty of room."""

    def __init__(self, path: str) -> None:
        self._path = path

    def make(self) -> bool:
        """Makes it, if it is missing; False while the disk has no room for it."""
        if self._is_there():
            return True
        try:
            room = os.statvfs(os.path.dirname(self._path))
            if room.f_bavail * room.f_frsize < MAKE_WHEN_FREE_BYTES:
                return False
            self._allocate()
        except OSError as error:
            # Whatever else is wrong with the folder, the database is to say.
            return error.errno not in _FULL
        return True

    def give_up(self) -> None:
        """Frees its space."""
        with contextlib.suppress(OSError):
            os.unlink(self._path)
            logger.warning("the disk is full: the reserve is given up so that outcomes can still be recorded")

    def _is_there(self) -> bool:
        try:
            return os.stat(self._path).st_size >= RESERVE_BYTES
        except OSError:
            return False

    def _allocate(self) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
        except OSError:
            os.unlink(self._path)
            raise
        finally:
            os.close(descriptor)
