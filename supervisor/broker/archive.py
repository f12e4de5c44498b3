"""A tar archive that is never written anywhere: its parts are read where they lie, as its pieces are asked for.

Its size is known from the beginning. A part is either bytes, or an open file, or a path of our own.
"""

from __future__ import annotations

import os
import tarfile
import time
from bisect import bisect_right
from typing import Final

BLOCK: Final = 512


class Archive:
    """Add everything, then `finish`, then `read`. Owns the descriptors that it is given."""

    def __init__(self) -> None:
        self.size = 0
        self._starts: list[int] = []
        self._sizes: list[int] = []
        self._parts: list[bytes | int | str] = []

    def add_folder(self, name: str) -> None:
        """A folder that only its owner may enter."""
        self._add_header(name, 0, tarfile.DIRTYPE, 0o700)

    def add_file(self, name: str, source: int | str, size: int) -> None:
        """A file of `size` bytes, from a descriptor or a path."""
        self._add_header(name, size, tarfile.REGTYPE, 0o600)
        self._add(source, size)
        self._add(bytes(-size % BLOCK), -size % BLOCK)

    def finish(self) -> None:
        """Its end."""
        self._add(bytes(2 * BLOCK), 2 * BLOCK)

    def read(self, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset` on; fewer only at its end. Raises OSError."""
        pieces = []
        while length > 0 and offset < self.size:
            number = bisect_right(self._starts, offset) - 1
            within = offset - self._starts[number]
            piece = self._read_part(number, within, min(length, self._sizes[number] - within))
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Closes its descriptors."""
        for part in self._parts:
            if isinstance(part, int):
                os.close(part)
        self._parts = []

    def _add(self, part: bytes | int | str, size: int) -> None:
        if size:
            self._starts.append(self.size)
            self._sizes.append(size)
            self._parts.append(part)
            self.size += size
        elif isinstance(part, int):
            os.close(part)

    def _add_header(self, name: str, size: int, kind: bytes, mode: int) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.type, info.mode, info.mtime = size, kind, mode, int(time.time())
        info.uid, info.gid = os.geteuid(), os.getegid()
        header = info.tobuf(tarfile.GNU_FORMAT)
        self._add(header, len(header))

    def _read_part(self, number: int, offset: int, length: int) -> bytes:
        part = self._parts[number]
        if isinstance(part, bytes):
            return part[offset : offset + length]
        if isinstance(part, int):
            piece = os.pread(part, length, offset)
        else:
            descriptor = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                piece = os.pread(descriptor, length, offset)
            finally:
                os.close(descriptor)
        if not piece:
            raise OSError(f"part {number} of the archive has become shorter")
        return piece
