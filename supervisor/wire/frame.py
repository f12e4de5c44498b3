"""Framing: one JSON object a line, at most 1 MiB. The only place that knows about the newline. Stdlib only.

A `LineBuffer` never holds more than one line and one read; it keeps the moment at which an unfinished line began,
so that its owner can refuse a client that dribbles.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

MAX_LINE: Final = 1 << 20
"""Bytes of a request, and of nearly every answer."""
MAX_ANSWER: Final = 4 << 20
"""Bytes of the largest answers: a lease with its script, a job with its result and all its arguments escaped."""
READ_SIZE: Final = 64 << 10


class FrameTooLarge(Exception):
    """A line is longer than the maximum. The connection cannot be used any further: the line's rest would follow."""


class LineBuffer:
    """Splits what arrives into lines, without their newline."""

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self._max_line = max_line
        self._pending = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Adds `data` and yields each line that it completed; raises FrameTooLarge."""
        self.add(data)
        yield from self.lines()

    def add(self, data: bytes) -> None:
        """Adds `data`, for `lines`."""
        self._pending += data

    def lines(self) -> Iterator[bytes]:
        """Each line that is whole, for as long as somebody asks; what is left waits. Raises FrameTooLarge."""
        while True:
            end = self._pending.find(b"\n", self._searched)
            if end < 0:
                self._searched = len(self._pending)
                if self._searched > self._max_line:
                    raise FrameTooLarge
                return
            if end > self._max_line:
                raise FrameTooLarge
            line = bytes(self._pending[:end])
            del self._pending[: end + 1]
            self._searched = 0
            yield line

    @property
    def rest(self) -> bytes:
        """What has come of an unfinished line: fed to another buffer first, it goes on there."""
        return bytes(self._pending)

    @property
    def unfinished(self) -> bool:
        """Whether a line has begun and not ended."""
        return bool(self._pending)
