"""An attempt's output files: watched for their cap, cut to it at the end, and read for the last words of stderr.

The bytes go from the job to the file; nothing here copies them.
"""

from __future__ import annotations

import os
from typing import Final

from supervisor.paths import Paths
from supervisor.spool import create_output

TAIL_BYTES: Final = 16 << 10
FULL_BELOW_BYTES: Final = 64 << 10


class Output:
    """stdout and stderr of one attempt; with `merge` both go to the stdout file, in the order of writing."""

    def __init__(self, paths: Paths, job: int, attempt: int, *, merge: bool, cap_bytes: int | None, owner: int | None):
        self.cap_bytes = cap_bytes
        self.stdout, self._stdout_reader = create_output(paths, job, attempt, "stdout", owner)
        try:
            writing, self._stderr_reader = create_output(paths, job, attempt, "stderr", owner)
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

    def sizes(self) -> tuple[int, int]:
        """Bytes of stdout and stderr now."""
        return os.fstat(self._stdout_reader).st_size, os.fstat(self._stderr_reader).st_size

    def over(self) -> bool:
        """Whether a stream is larger than its cap."""
        return self.cap_bytes is not None and max(self.sizes()) > self.cap_bytes

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
        """Cuts each stream to its cap. Only once no process of the job is alive."""
        if self.cap_bytes is None:
            return
        for reader in (self._stdout_reader, self._stderr_reader):
            if os.fstat(reader).st_size > self.cap_bytes:
                os.ftruncate(reader, self.cap_bytes)

    def close(self) -> None:
        """Closes every fd."""
        self.hand_over()
        os.close(self._stdout_reader)
        os.close(self._stderr_reader)
