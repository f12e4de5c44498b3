"""Output bytes as JSON: text where they are UTF-8, base64 where they are not; never cutting a character in two."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from typing import Final

from supervisor.paths import Paths
from supervisor.spool import open_output

CHUNK_BYTES: Final = 64 << 10
_LONGEST_CHARACTER: Final = 4


@dataclass(frozen=True)
class Chunk:
    """`length` bytes from `offset` on, as `data` in `encoding` (utf-8, base64)."""

    offset: int
    length: int
    data: str
    encoding: str

    @property
    def end(self) -> int:
        """The offset after it."""
        return self.offset + self.length


def as_chunk(offset: int, data: bytes, *, more_may_come: bool) -> Chunk:
    """`data` as a chunk. Where more may come, an unfinished character at the end is left for later."""
    try:
        return Chunk(offset, len(data), data.decode(), "utf-8")
    except UnicodeDecodeError as error:
        unfinished = error.reason == "unexpected end of data" and len(data) - error.start < _LONGEST_CHARACTER
        if unfinished and more_may_come:
            whole = data[: error.start]
            return Chunk(offset, len(whole), whole.decode(), "utf-8")
    return Chunk(offset, len(data), base64.b64encode(data).decode(), "base64")


class Tail:
    """Reads one stream of one attempt from an offset on, as it grows."""

    def __init__(self, paths: Paths, job: int, attempt: int, stream: str, offset: int) -> None:
        self._where = (paths, job, attempt, stream)
        self._descriptor: int | None = None
        self.stream = stream
        self.offset = offset

    def read(self, *, ended: bool) -> Chunk | None:
        """The next chunk, None when nothing new is there. `ended` says that nothing more will be written."""
        if self._descriptor is None:
            self._descriptor = open_output(*self._where)
            if self._descriptor is None:
                return None
        data = os.pread(self._descriptor, CHUNK_BYTES, self.offset)
        if not data:
            return None
        chunk = as_chunk(self.offset, data, more_may_come=not ended or len(data) == CHUNK_BYTES)
        self.offset = chunk.end
        return chunk if chunk.length else None

    def close(self) -> None:
        """Closes its file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
