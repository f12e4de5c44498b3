"""Fills a job's folder: its contents, its output folder, its private temporary folder.

Everything is written through a folder's fd, never by following a name that a client or a job chose: each part of a
path is opened with O_NOFOLLOW, links of an archive are made last, so that nothing is ever written through one.
"""

from __future__ import annotations

import base64
import contextlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

from supervisor.core.job import Content
from supervisor.spool import Spool
from supervisor.wire.lease import Lease

WORK: Final = "work"
OUTPUT: Final = "output"
TEMPORARY: Final = "tmp"
STDIN: Final = "stdin"
HEAD_BYTES: Final = 256

_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class BadArchive(Exception):
    """A folder's archive cannot be unpacked here; the message says which member and why."""


class Workspace:
    """The folder behind `root_fd`, with its three parts; `owner` is the job's uid where it is not ours."""

    def __init__(self, root_fd: int, owner: int | None, spool: Spool) -> None:
        self._root_fd = root_fd
        self._owner = owner
        self._spool = spool

    def fill(self, lease: Lease) -> bytes:
        """Writes all that the job is given into the folders, which are there; returns the head of its main file.

        Raises OSError and BadArchive.
        """
        work_fd = os.open(WORK, _FOLDER_FLAGS, dir_fd=self._root_fd)
        try:
            for content in lease.spec.contents:
                with _reading(content, lease, self._spool) as source:
                    if content.kind == "tar":
                        self._unpack(work_fd, content.path, source)
                    else:
                        self._write(work_fd, content.path, source, content.mode)
            return _head_of_main(work_fd, lease.spec.main) if lease.spec.main is not None else b""
        finally:
            os.close(work_fd)

    def make_folders(self) -> None:
        """The three parts, empty."""
        for name in (WORK, OUTPUT, TEMPORARY):
            with contextlib.suppress(FileExistsError):  # a bind below it was there first
                os.mkdir(name, 0o700, dir_fd=self._root_fd)
            self._give(os.open(name, _FOLDER_FLAGS, dir_fd=self._root_fd))

    def write(self, part: str, name: str, content: bytes) -> None:
        """One file of one of the parts."""
        self._write(self._root_fd, f"{part}/{name}", io.BytesIO(content), 0o644)

    def open_stdin(self, lease: Lease) -> int:
        """What the job reads as stdin. A copy of its own: through /proc it could write to any file that it shares."""
        content = lease.spec.stdin
        if content is None:
            return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        with _reading(content, lease, self._spool) as source:
            self._write(self._root_fd, STDIN, source, 0o600)
        return os.open(STDIN, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._root_fd)

    def _write(self, base_fd: int, path: str, source: BinaryIO, mode: int) -> None:
        folder, _, name = path.rpartition("/")
        folder_fd = self._folder(base_fd, folder)
        try:
            descriptor = os.open(name, _FILE_FLAGS, 0o600, dir_fd=folder_fd)
            try:
                while piece := source.read(1 << 20):
                    view = memoryview(piece)
                    while view:
                        view = view[os.write(descriptor, view) :]
                os.fchmod(descriptor, mode & 0o777 | 0o600)
            finally:
                self._give(descriptor)
        finally:
            os.close(folder_fd)

    def _unpack(self, base_fd: int, path: str, source: BinaryIO) -> None:
        prefix = "" if path == "." else path
        links: list[tuple[str, str]] = []
        try:
            with tarfile.open(fileobj=source, mode="r:") as archive:
                for member in archive:
                    archive.members.clear()  # type: ignore[attr-defined]  # it would remember each of a million
                    name = _inside(prefix, member.name)
                    if member.isdir():
                        os.close(self._folder(base_fd, name))
                    elif member.isreg():
                        content = archive.extractfile(member)
                        assert content is not None
                        self._write(base_fd, name, content, member.mode)  # type: ignore[arg-type]
                    elif member.issym():
                        links.append((name, member.linkname))
                    else:
                        raise BadArchive(f"{member.name}: only files, folders and symbolic links can be submitted")
            for name, target in links:
                self._link(base_fd, name, target)
        except (tarfile.TarError, ValueError) as error:
            # HAZARD: a strange archive makes tarfile, and the system calls that take its names, raise ValueError.
            raise BadArchive(f"the folder's archive is broken: {error}") from None

    def _link(self, base_fd: int, path: str, target: str) -> None:
        folder, _, name = path.rpartition("/")
        folder_fd = self._folder(base_fd, folder)
        try:
            os.symlink(target, name, dir_fd=folder_fd)
            if self._owner is not None:
                os.chown(name, self._owner, self._owner, dir_fd=folder_fd, follow_symlinks=False)
        finally:
            os.close(folder_fd)

    def _folder(self, base_fd: int, path: str) -> int:
        """An fd of the folder `path` below `base_fd`, made where it is missing."""
        current = os.dup(base_fd)
        for part in path.split("/") if path else ():
            try:
                deeper = os.open(part, _FOLDER_FLAGS, dir_fd=current)
            except FileNotFoundError:
                os.mkdir(part, 0o700, dir_fd=current)
                deeper = os.open(part, _FOLDER_FLAGS, dir_fd=current)
                if self._owner is not None:
                    os.fchown(deeper, self._owner, self._owner)
            finally:
                os.close(current)
            current = deeper
        return current

    def _give(self, descriptor: int) -> None:
        try:
            if self._owner is not None:
                os.fchown(descriptor, self._owner, self._owner)
        finally:
            os.close(descriptor)


@contextmanager
def _reading(content: Content, lease: Lease, spool: Spool) -> Iterator[BinaryIO]:
    """`content` at its beginning: a file of the spool, or what came with the lease."""
    inline = lease.inline.get(content.sha256)
    if inline is not None:
        yield io.BytesIO(base64.b64decode(inline))
        return
    with open(spool.path(content.sha256), "rb") as file:
        yield file


def _inside(prefix: str, name: str) -> str:
    parts = [part for part in f"{prefix}/{name}".split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts:
        raise BadArchive(f"{name}: leads out of the folder")
    return "/".join(parts)


def _open_main(work_fd: int, main: str) -> int | None:
    """The main file, if it is a regular file reached without any link; else it is the job's own affair."""
    current = os.dup(work_fd)
    try:
        *folders, name = main.split("/")
        for part in folders:
            deeper = os.open(part, _FOLDER_FLAGS, dir_fd=current)
            os.close(current)
            current = deeper
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=current)
    except OSError:
        return None
    finally:
        os.close(current)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


def _head_of_main(work_fd: int, main: str) -> bytes:
    """How the main file begins. It is made executable on the way: a script that is to be run may be run."""
    descriptor = _open_main(work_fd, main)
    if descriptor is None:
        return b""
    try:
        os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode) | 0o100)
        return os.read(descriptor, HEAD_BYTES)
    finally:
        os.close(descriptor)
