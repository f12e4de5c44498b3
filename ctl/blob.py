"""Bytes to be sent: their sha256, their size, and any range of them. Never holds a large file in memory."""

from __future__ import annotations

import io
import os

from ctl.errors import invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

MAX_STREAM_BYTES = 256 << 20
_READ_BYTES = 1 << 20


class Blob:
    """Content named by its sha256. Takes over `file`, which must be seekable."""

    def __init__(self, file: BinaryIO) -> None:
        self.size = file.seek(0, os.SEEK_END)
        self._file: BinaryIO | None = file
        self._sha256: str | None = None

    @property
    def sha256(self) -> str:
        """Of all of it, in hexadecimal; the content is read through at the first time."""
        if self._sha256 is None:
            import hashlib

            digest = hashlib.sha256()
            offset = 0
            while piece := self.read(offset, _READ_BYTES):
                digest.update(piece)
                offset += len(piece)
            self.size = offset
            self._sha256 = digest.hexdigest()
        return self._sha256

    def read(self, offset: int = 0, length: int = -1) -> bytes:
        """Bytes from `offset` on; all of them without `length`."""
        assert self._file is not None, "a blob that was closed"
        self._file.seek(offset)
        return self._file.read(length)

    def close(self) -> None:
        """Lets go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def blob_of_bytes(data: bytes) -> Blob:
    """`data` as a blob."""
    return Blob(io.BytesIO(data))


def blob_of_stream(stream: BinaryIO, name: str) -> Blob:
    """What `stream` gives until its end, kept in an unnamed file; raises InvalidRequest above 256 MiB."""
    import tempfile

    copy: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115  the blob closes it
    size = 0
    while piece := stream.read(_READ_BYTES):
        size += len(piece)
        if size > MAX_STREAM_BYTES:
            copy.close()
            raise invalid(f"{name} gave more than 256 MiB, which is the most that a job can be given")
        copy.write(piece)
    return Blob(copy)


def blob_of_file(path: str) -> Blob:
    """The file at `path`, read through if it is a pipe or a device; raises InvalidRequest naming the path."""
    try:
        file = open(path, "rb")  # noqa: SIM115  the blob closes it
        if file.seekable() and os.path.isfile(path):
            return Blob(file)
        with file:
            return blob_of_stream(file, path)
    except OSError as error:
        raise unreadable(path, error) from None


def blob_of_stdin() -> Blob:
    """All of standard input; raises InvalidRequest where it is closed."""
    import sys

    if sys.stdin is None:
        raise invalid("standard input is closed: give the file by name")
    return blob_of_stream(sys.stdin.buffer, "standard input")


def unreadable(path: str, error: OSError) -> Exception:
    """The error for a file that cannot be read."""
    return invalid(f"cannot read {path}: {(error.strerror or str(error)).lower()}")
