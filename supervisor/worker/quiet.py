"""Outputs of a handler's jobs: files without a name, which get one when something is written to them.

Most jobs of a handler write nothing. A folder and two files for each would cost more than such a job, and weigh on the
commit that its outcome waits for. Invariant: a nameless file serves another job only if it is empty and the kernel
says that nobody can write to it any more: what a process that was left behind writes never gets into another job's output.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from typing import Final

from supervisor.core.shortage import Shortage
from supervisor.paths import Paths
from supervisor.spool import make_output_folder, output_path
from supervisor.worker.output import STREAMS, Output

_NAMELESS: Final = os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC
_NOT_HERE: Final = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)
_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC


class _Blank:
    """A file without a name, held by a descriptor that only reads."""

    def __init__(self, folder: str, owner: int | None) -> None:
        made = os.open(folder, _NAMELESS, 0o600)
        try:
            if owner is not None:
                os.fchown(made, owner, owner)
            self.reader = os.open(f"/proc/self/fd/{made}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(made)
        self.place = f"/proc/self/fd/{self.reader}"
        """A path by which this process reaches it."""

    def is_untouched(self) -> bool:
        """Whether it is empty and nameless, and stays so: a read lease is granted only if nobody has it open for writing.

        One that had got a name is its job's for good, also if that job has cut it to nothing.
        """
        try:
            fcntl.fcntl(self.reader, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError:
            return False
        seen = os.fstat(self.reader)
        fcntl.fcntl(self.reader, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return seen.st_size == 0 and seen.st_nlink == 0


class Blanks:
    """The nameless files of one worker that can be used again."""

    def __init__(self, paths: Paths, owner: int | None) -> None:
        self.paths = paths
        self._owner = owner
        self._can_be_had = True
        self._free: list[_Blank] = []

    def output(self, job: int, attempt: int, *, merge: bool, cap_bytes: int | None) -> Output:
        """The output of an attempt; an ordinary one where the file system cannot have files without a name."""
        if self._can_be_had:
            try:
                return QuietOutput(self, job, attempt, merge=merge, cap_bytes=cap_bytes)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise Shortage("room for outputs") from error
                if error.errno not in _NOT_HERE:
                    raise
                self._can_be_had = False
        return Output(self.paths, job, attempt, merge=merge, cap_bytes=cap_bytes, owner=self._owner)

    def take(self) -> _Blank:
        """One that nobody writes to. Raises OSError."""
        return self._free.pop() if self._free else _Blank(self.paths.outputs, self._owner)

    def take_all(self) -> list[_Blank]:
        """One for each stream, or none. Raises OSError."""
        taken: list[_Blank] = []
        try:
            for _ in STREAMS:
                taken.append(self.take())
        except OSError:
            for blank in taken:
                self.give_back(blank)
            raise
        return taken

    def give_back(self, blank: _Blank) -> None:
        """It was not needed, or has a name now."""
        if len(self._free) < len(STREAMS) and blank.is_untouched():
            self._free.append(blank)
        else:
            os.close(blank.reader)


class QuietOutput(Output):
    """stdout and stderr of one attempt, which are nowhere to be seen until something is in them."""

    def __init__(self, blanks: Blanks, job: int, attempt: int, *, merge: bool, cap_bytes: int | None) -> None:
        self._blanks = blanks
        self._job = job
        self._merge = merge
        self.cap_bytes = cap_bytes
        self._attempt = attempt
        self._sizes: tuple[int, int] | None = None
        self._files = blanks.take_all()
        self._named = [False, False]
        self._stdout_reader, self._stderr_reader = (file.reader for file in self._files)
        self.stdout = os.open(self._files[0].place, _APPEND)
        self.stderr = os.dup(self.stdout) if merge else os.open(self._files[1].place, _APPEND)
        self._writers_open = True

    def sizes(self) -> tuple[int, int]:
        """Bytes of stdout and stderr now, or at the job's end."""
        return super().sizes() if self._sizes is None else self._sizes

    def is_over(self) -> None:
        """The job has ended: what comes now is not its own."""
        self._sizes = super().sizes()

    def tail_of_stderr(self) -> bytes:
        """The last 16 KiB that the job wrote to stderr."""
        return super().tail_of_stderr() if any(self.sizes()) else b""

    def show(self) -> None:
        """Gives a name to each stream that has something in it. Raises OSError."""
        for index, size in enumerate(self.sizes()):
            if size and not self._named[index]:
                self._name(index)
                self._named[index] = True

    def cut(self) -> None:
        """Cuts each stream to its cap."""
        if not self.over():
            return
        for file, size in zip(self._files, self.sizes(), strict=True):
            if self.cap_bytes is not None and size > self.cap_bytes:
                os.truncate(file.place, self.cap_bytes)
        self._sizes = super().sizes()

    def discard(self) -> None:
        """There was no attempt."""
        for index, is_named in enumerate(self._named):
            if is_named:
                os.unlink(self._place(index))

    def close(self) -> None:
        """Closes or gives back every file; what was shown stays."""
        self.hand_over()
        for file in self._files:
            self._blanks.give_back(file)

    def _name(self, index: int) -> None:
        make_output_folder(self._blanks.paths, self._job)
        place = self._place(index)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place)  # of a lease of this number that was given back
        # HAZARD: only with a folder's descriptor does os.link follow the link of /proc, which it is all about; with an
        # absolute path the kernel does not look at it.
        os.link(self._files[index].place, place, src_dir_fd=self._files[index].reader)

    def _place(self, index: int) -> str:
        return output_path(self._blanks.paths, self._job, self._attempt, STREAMS[index])
