"""An attempt's output files: watched for their cap, cut to it at the end, and read for the last words of stderr.

The bytes go from the job to the file; nothing here copies them.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import Final

from supervisor.core.shortage import Shortage
from supervisor.paths import Paths
from supervisor.spool import create_output_at, make_output_folder, output_path, spare_output_path

TAIL_BYTES: Final = 16 << 10
FULL_BELOW_BYTES: Final = 64 << 10
SPARE_BYTES: Final = 1 << 20
"""So much more of the disk than its size says a stream may take: file systems take some ahead."""
STREAMS: Final = ("stdout", "stderr")


class Output:
    """stdout and stderr of one attempt; with `merge` both go to the stdout file, in the order of writing."""

    def __init__(self, paths: Paths, job: int, attempt: int, *, merge: bool, cap_bytes: int | None, owner: int | None):
        self._paths = paths
        with _room():
            make_output_folder(paths, job)
            self._create([output_path(paths, job, attempt, stream) for stream in STREAMS], merge, cap_bytes, owner)

    @classmethod
    def ahead(cls, paths: Paths, spare: str, owner: int | None) -> Output:
        """Of an attempt that is not known yet: the files are there, under a name of their own, until `become`."""
        output = cls.__new__(cls)
        output._paths = paths
        places = [spare_output_path(paths, spare, stream) for stream in STREAMS]
        os.makedirs(os.path.dirname(places[0]), mode=0o700, exist_ok=True)
        for place in places:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(place)  # what a worker that was killed left
        output._create(places, False, None, owner)
        return output

    def become(self, job: int, attempt: int, cap_bytes: int | None) -> None:
        """The attempt is known: its files get their names."""
        self.cap_bytes = cap_bytes
        with _room():
            make_output_folder(self._paths, job)
        places = [output_path(self._paths, job, attempt, stream) for stream in STREAMS]
        for index, place in enumerate(places):
            os.rename(self._places[index], place)
            self._places[index] = place

    def _create(self, places: list[str], merge: bool, cap_bytes: int | None, owner: int | None) -> None:
        self.cap_bytes = cap_bytes
        self._places = places
        self.stdout, self._stdout_reader = create_output_at(places[0], owner)
        try:
            writing, self._stderr_reader = create_output_at(places[1], owner)
        except OSError:
            os.close(self.stdout)
            os.close(self._stdout_reader)
            raise
        if merge:
            os.close(writing)
            writing = os.dup(self.stdout)
        self.stderr = writing
        self._merge = merge
        self._writers_open = True

    def hand_over(self) -> None:
        """Closes the writing ends here, once the job has its own."""
        if self._writers_open:
            os.close(self.stdout)
            os.close(self.stderr)
            self._writers_open = False

    def is_over(self) -> None:
        """The job has ended, and nobody writes any more."""

    def sizes(self) -> tuple[int, int]:
        """Bytes of stdout and stderr now."""
        return os.fstat(self._stdout_reader).st_size, os.fstat(self._stderr_reader).st_size

    def over(self) -> bool:
        """Whether a stream is larger than its cap, or takes far more of the disk: it can be reserved behind its end."""
        if self.cap_bytes is None:
            return False
        return max(self.sizes()) > self.cap_bytes or max(self._taken()) > 2 * self.cap_bytes + SPARE_BYTES

    def tail_of_stderr(self) -> bytes:
        """The last 16 KiB that the job wrote to stderr."""
        reader = self._stdout_reader if self._merge else self._stderr_reader
        size = os.fstat(reader).st_size
        return os.pread(reader, TAIL_BYTES, max(0, size - TAIL_BYTES))

    def disk_is_full(self) -> bool:
        """Whether there is no room for more output: then some may be missing, and nobody told the job."""
        room = os.fstatvfs(self._stdout_reader)
        return room.f_bavail * room.f_frsize < FULL_BELOW_BYTES

    def cut(self) -> None:
        """Cuts each stream to its cap, and what is reserved behind its end. Only once no process of the job is alive."""
        if self.cap_bytes is None:
            return
        for reader, taken in zip((self._stdout_reader, self._stderr_reader), self._taken(), strict=True):
            size = os.fstat(reader).st_size
            if size > self.cap_bytes or taken > size + SPARE_BYTES:
                os.ftruncate(reader, min(size, self.cap_bytes))

    def _taken(self) -> tuple[int, int]:
        """Bytes of the disk."""
        return os.fstat(self._stdout_reader).st_blocks * 512, os.fstat(self._stderr_reader).st_blocks * 512

    def show(self) -> None:
        """Sees to it that what was written can be found in its place; here it can from the start."""

    def discard(self) -> None:
        """Removes the files: there was no attempt."""
        for place in self._places:
            with contextlib.suppress(OSError):
                os.unlink(place)

    def close(self) -> None:
        """Closes every fd."""
        self.hand_over()
        os.close(self._stdout_reader)
        os.close(self._stderr_reader)


@contextlib.contextmanager
def _room() -> Iterator[None]:
    """A full disk is the machine's want and no fault of the job."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Shortage("room for outputs") from error
        raise
