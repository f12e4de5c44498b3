"""stdout and stderr of a job: the descriptors 1 and 2 themselves, so that what C code and child processes write is there.

Invariant: between jobs they are what they were at the start; every buffer is flushed before they change hands.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import io
import os
import sys
from collections.abc import Sequence
from typing import Final

_ABOVE_STANDARD: Final = 10


class Streams:
    """Made once, before the first job."""

    def __init__(self) -> None:
        self._idle = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _ABOVE_STANDARD) for fd in (1, 2)]
        self._flush_c = ctypes.CDLL(None).fflush
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(line_buffering=True, errors="backslashreplace")

    def to_job(self, fds: Sequence[int]) -> None:
        """From now on all output goes to these two, which are closed here."""
        self._point_to(fds)
        for fd in fds:
            os.close(fd)

    def to_idle(self) -> None:
        """From now on output is nobody's job's."""
        self._point_to(self._idle)

    def flush(self) -> None:
        """Writes out what Python and C still hold."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # people's code may have closed or replaced it
                stream.flush()
        self._flush_c(None)

    def _point_to(self, fds: Sequence[int]) -> None:
        self.flush()
        for goal, source in enumerate(fds, 1):
            os.dup2(source, goal)
