"""Large contents and job outputs on disk: content-addressed files, and a folder of output files for each job.

Content is complete, verified and fsynced before it has its final name; a name that exists is whole. Paths are
built from hashes and numbers only, never from anything that a client names.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from typing import Final

from supervisor.paths import Paths

HASH_PIECE: Final = 1 << 20
_READ_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class BadContent(Exception):
    """What was put is not what its hash says; the pieces are gone."""


class Spool:
    """Contents by sha256. One process (the broker) writes; workers read."""

    def __init__(self, paths: Paths) -> None:
        self._folder = paths.spool

    def path(self, sha256: str) -> str:
        """Where complete content lies."""
        return os.path.join(self._folder, sha256)

    def size(self, sha256: str) -> int | None:
        """Bytes of complete content, None when there is none."""
        try:
            return os.stat(self.path(sha256)).st_size
        except FileNotFoundError:
            return None

    def touch(self, sha256: str) -> None:
        """Says that somebody is about to need complete content: it counts as put just now."""
        os.utime(self.path(sha256))

    def head(self, sha256: str, length: int) -> bytes:
        """The first bytes of complete content."""
        with open(self.path(sha256), "rb") as file:
            return file.read(length)

    def append(self, sha256: str, offset: int, data: bytes) -> int:
        """Adds a piece where it fits; returns the offset expected next. One that does not fit changes nothing."""
        descriptor = os.open(self._draft(sha256), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if offset != size:
                return size
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            return size + len(data)
        finally:
            os.close(descriptor)

    def complete(self, sha256: str) -> None:
        """Makes finished content durable under its final name; raises BadContent. May take as long as the disk does."""
        draft = self._draft(sha256)
        digest = hashlib.sha256()
        with open(draft, "rb") as file:
            while piece := file.read(HASH_PIECE):
                digest.update(piece)
            if digest.hexdigest() != sha256:
                os.unlink(draft)
                raise BadContent
            try:
                os.fsync(file.fileno())
            except OSError:
                # HAZARD: a second fsync would succeed, and what the first one could not write is lost all the same.
                os.unlink(draft)
                raise
        os.rename(draft, self.path(sha256))
        self.sync_names()

    def sync_names(self) -> None:
        """Makes the names of complete content durable. May take as long as the disk does."""
        _sync_folder(self._folder)

    def forget(self, sha256: str) -> None:
        """Drops unfinished content."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._draft(sha256))

    def _draft(self, sha256: str) -> str:
        return os.path.join(self._folder, f"{sha256}.part")


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def output_path(paths: Paths, job: int, attempt: int, stream: str) -> str:
    """Where an attempt's `stream` (stdout, stderr) lies."""
    return os.path.join(paths.outputs, str(job), f"{attempt}.{stream}")


def spare_output_path(paths: Paths, spare: str, stream: str) -> str:
    """Where a stream lies whose attempt is not known yet."""
    return os.path.join(paths.outputs, "spare", f"{spare}.{stream}")


def make_output_folder(paths: Paths, job: int) -> None:
    """The folder of a job's outputs."""
    os.makedirs(os.path.join(paths.outputs, str(job)), mode=0o700, exist_ok=True)


def create_output_at(path: str, owner: int | None) -> tuple[int, int]:
    """A new empty output file: the fd that the job appends to, and our own fd.

    Ours is opened before the job exists and kept: while it is open a job cannot take a lease on its own output,
    which would block every later open; and it can cut the file whatever mode the job gives it.
    `owner` is the job's uid, so that it may reopen /dev/stdout.
    """
    flags = os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    writing = os.open(path, os.O_WRONLY | flags, 0o600)
    try:
        if owner is not None:
            os.fchown(writing, owner, owner)
        return writing, os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        os.close(writing)
        raise


def _open_at_any_mode(path: str) -> int:
    """Of an ordinary user's daemon: what a job of its uid closed with chmod is still the daemon's."""
    try:
        return os.open(path, _READ_FLAGS)
    except PermissionError:
        handle = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.chmod(f"/proc/self/fd/{handle}", 0o600)
        return os.open(path, _READ_FLAGS)
    finally:
        os.close(handle)


def open_output(paths: Paths, job: int, attempt: int, stream: str) -> int | None:
    """A reading fd of an output, None when it does not exist. What a job wrote to is opened as hostile."""
    try:
        descriptor = _open_at_any_mode(output_path(paths, job, attempt, stream))
    except (FileNotFoundError, BlockingIOError, PermissionError):
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None
