"""What a runner writes outside of jobs: while it is set up, between jobs, when it is torn down. It goes to our log.

Kept in memory, and never more of it than is worth reading.
"""

from __future__ import annotations

import os
from typing import Final

from loguru import logger

ENOUGH_BYTES: Final = 64 << 10
TAIL_BYTES: Final = 16 << 10


class IdleOutput:
    """A file in memory; `fd` is stdout and stderr of the runner."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("runner-output", os.MFD_CLOEXEC)

    def take(self) -> str:
        """The end of what is there, which is then forgotten."""
        size = os.fstat(self.fd).st_size
        if not size:
            return ""
        words = os.pread(self.fd, TAIL_BYTES, max(0, size - TAIL_BYTES))
        os.ftruncate(self.fd, 0)
        # Whoever writes has this very description, and with it its offset.
        os.lseek(self.fd, 0, os.SEEK_SET)
        return words.decode(errors="replace").replace("\0", "").strip()

    def tell(self) -> None:
        """Logs what is there."""
        words = self.take()
        if words:
            logger.info("the runner wrote outside of jobs:\n{}", words)

    def bound(self) -> None:
        """Logs it once there is a lot."""
        if os.fstat(self.fd).st_size > ENOUGH_BYTES:
            self.tell()
