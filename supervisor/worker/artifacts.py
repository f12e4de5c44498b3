"""Keeps what a job left in its output folder: regular files, up to a number and a sum of bytes, under numbers.

Invariant: every byte that is kept was read through an fd of a regular file of the job's own, below its output folder;
holes count as bytes. What is left out is counted by its kind and said.
Never: runs while a process of the job may live; follows a link; uses a name of the job's for a file of ours.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from loguru import logger

from supervisor.artifacts import FILE_FLAGS, Kept, drop_folder, make_folder, write_manifest
from supervisor.core.units import format_size
from supervisor.paths import Paths
from supervisor.worker.beneath import open_file, open_folder

MAX_DEPTH: Final = 32
MAX_PATH_BYTES: Final = 1024
MAX_NAMES: Final = 100_000
PIECE_BYTES: Final = 1 << 20

_LINK: Final = ("symbolic link", "symbolic links")
_PIPE: Final = ("named pipe", "named pipes")
_SOCKET: Final = ("socket", "sockets")
_DEVICE: Final = ("device", "devices")
_DEEP: Final = (
    f"name more than {MAX_DEPTH} folders or {MAX_PATH_BYTES} bytes deep",
    f"names more than {MAX_DEPTH} folders or {MAX_PATH_BYTES} bytes deep",
)
_FOREIGN: Final = ("file that is not the job's own", "files that are not the job's own")
_UNREADABLE: Final = ("file that could not be read", "files that could not be read")
_NO_ROOM: Final = ("file that the daemon's disk had no room for", "files that the daemon's disk had no room for")
_KINDS: Final = {stat.S_IFLNK: _LINK, stat.S_IFIFO: _PIPE, stat.S_IFSOCK: _SOCKET}

Words = tuple[str, str]

_syncfs: Final = ctypes.CDLL(None, use_errno=True).syncfs


@dataclass(frozen=True)
class Caps:
    """What is kept of one attempt at most. `pool` names the pool whose settings these are."""

    files: int
    bytes: int
    pool: str


@dataclass
class Collected:
    """`kept` are the artifacts; `left_out` counts what is none, by the words for one and for several."""

    kept: list[Kept] = field(default_factory=list)
    left_out: Counter[Words] = field(default_factory=Counter)
    note: str | None = None

    def sentence(self) -> str | None:
        """What was left out and why, None if nothing was."""
        parts = [f"{count} {words[count > 1]}" for words, count in self.left_out.items()]
        if self.note is not None:
            parts.append(self.note)
        return f"not kept of its output folder: {', '.join(parts)}" if parts else None


def collect(work_fd: int, output: str, paths: Paths, job: int, attempt: int, caps: Caps, owner: int) -> Collected:
    """Keeps what lies in the folder `output` of `work_fd`; `owner` is the job's uid. Raises nothing."""
    collected = Collected()
    try:
        output_fd = open_folder(work_fd, os.fsencode(output))
    except FileNotFoundError:
        return collected
    except OSError:
        collected.note = "anything, since something else was in its place"
        return collected
    keeper = _Keeper(paths, job, attempt, caps, owner, collected)
    try:
        for folder_fd, name, path in _Walk(collected).files(output_fd, b"", 1):
            keeper.keep(folder_fd, name, path)
    finally:
        os.close(output_fd)
        keeper.finish()
    return collected


class _Walk:
    """The regular files below a folder, in the order of their names, as (folder's fd, name, path below the top)."""

    def __init__(self, collected: Collected) -> None:
        self._collected = collected
        self._names_left = MAX_NAMES

    def files(self, folder_fd: int, above: bytes, depth: int) -> Iterator[tuple[int, bytes, bytes]]:
        """Of this folder and those below it."""
        for name in self._names(folder_fd):
            kind = _kind_of(folder_fd, name)
            path = above + name
            if len(path) > MAX_PATH_BYTES:
                self._collected.left_out[_DEEP] += 1
            elif kind == stat.S_IFREG:
                yield folder_fd, name, path
            elif kind == stat.S_IFDIR:
                yield from self._below(folder_fd, name, path, depth)
            else:
                self._collected.left_out[_UNREADABLE if kind is None else _KINDS.get(kind, _DEVICE)] += 1

    def _below(self, folder_fd: int, name: bytes, path: bytes, depth: int) -> Iterator[tuple[int, bytes, bytes]]:
        if depth >= MAX_DEPTH:
            self._collected.left_out[_DEEP] += 1
            return
        try:
            inner_fd = open_folder(folder_fd, name)
        except OSError:
            self._collected.left_out[_UNREADABLE] += 1
            return
        try:
            yield from self.files(inner_fd, path + b"/", depth + 1)
        finally:
            os.close(inner_fd)

    def _names(self, folder_fd: int) -> list[bytes]:
        """Sorted; not more than may still be looked at, so that a folder of millions costs no memory."""
        with os.scandir(folder_fd) as entries:
            names = [os.fsencode(entry.name) for entry in itertools.islice(entries, self._names_left)]
            self._names_left -= len(names)
            if self._names_left == 0 and next(entries, None) is not None:
                self._collected.note = f"whatever came after the first {MAX_NAMES} names"
        return sorted(names)


def _kind_of(folder_fd: int, name: bytes) -> int | None:
    try:
        return stat.S_IFMT(os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_mode)
    except OSError:
        return None


class _Keeper:
    """Copies files under the next number, as long as the caps and the disk allow."""

    def __init__(self, paths: Paths, job: int, attempt: int, caps: Caps, owner: int, collected: Collected) -> None:
        self._where = (paths, job, attempt)
        self._caps = caps
        self._owner = owner
        self._collected = collected
        self._bytes_left = caps.bytes
        self._folder_fd: int | None = None
        self._disk_full = False
        self._over_count: Words = (
            f"file beyond the {caps.files} that are kept (setting pools.{caps.pool}.artifacts)",
            f"files beyond the {caps.files} that are kept (setting pools.{caps.pool}.artifacts)",
        )
        limit = f"than the {format_size(caps.bytes)} that are kept (setting pools.{caps.pool}.artifact_bytes)"
        self._over_size: Words = (f"file that would make it more {limit}", f"files that would make it more {limit}")

    def keep(self, folder_fd: int, name: bytes, path: bytes) -> None:
        """Copies one file, or counts why not."""
        why_not = self._keep(folder_fd, name, path)
        if why_not is not None:
            self._collected.left_out[why_not] += 1

    def finish(self) -> None:
        """Makes what was kept durable, and lists it; or drops it all if the disk cannot take it."""
        if self._folder_fd is None:
            return
        kept = self._collected.kept
        try:
            if _syncfs(self._folder_fd) != 0:
                raise OSError(ctypes.get_errno(), "syncfs")
            write_manifest(self._folder_fd, kept)
        except OSError as error:
            logger.error("the artifacts of job {} attempt {} are lost: {}", *self._where[1:], error)
            self._collected.left_out[_NO_ROOM] += len(kept)
            kept.clear()
        finally:
            os.close(self._folder_fd)
        if not kept:
            drop_folder(*self._where)

    def _keep(self, folder_fd: int, name: bytes, path: bytes) -> Words | None:
        if len(self._collected.kept) >= self._caps.files:
            return self._over_count
        if self._disk_full:
            return _NO_ROOM
        try:
            mode = os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_mode
            source = open_file(folder_fd, name)
        except OSError:
            return _UNREADABLE
        try:
            return self._why_not(source) or self._copy(source, path, stat.S_IMODE(mode) & 0o777)
        finally:
            os.close(source)

    def _why_not(self, source: int) -> Words | None:
        seen = os.fstat(source)
        if not stat.S_ISREG(seen.st_mode):
            return _UNREADABLE
        # A hard link to somebody's file is one that a daemon of root could read, and its job could not.
        if seen.st_uid != self._owner:
            return _FOREIGN
        return self._over_size if seen.st_size > self._bytes_left else None

    def _copy(self, source: int, path: bytes, mode: int) -> Words | None:
        number = str(len(self._collected.kept) + 1)
        try:
            size = self._write(source, number)
        except _SourceError:
            self._drop(number)
            return _UNREADABLE
        except OSError as error:
            logger.error("artifacts of job {} attempt {} cannot be stored: {}", *self._where[1:], error)
            self._disk_full = True
            self._drop(number)
            return _NO_ROOM
        self._bytes_left -= size
        self._collected.kept.append(Kept(path, size, mode))
        return None

    def _write(self, source: int, number: str) -> int:
        if self._folder_fd is None:
            self._folder_fd = make_folder(*self._where)
        target = os.open(number, FILE_FLAGS, 0o600, dir_fd=self._folder_fd)
        try:
            size = 0
            while piece := _read(source, min(PIECE_BYTES, self._bytes_left - size)):
                size += len(piece)
                view = memoryview(piece)
                while view:
                    view = view[os.write(target, view) :]
            return size
        finally:
            os.close(target)

    def _drop(self, number: str) -> None:
        if self._folder_fd is not None:
            try:
                os.unlink(number, dir_fd=self._folder_fd)
            except FileNotFoundError:
                pass


class _SourceError(Exception):
    """The job's file cannot be read; ours is not to blame."""


def _read(source: int, length: int) -> bytes:
    try:
        return os.read(source, length)
    except OSError as error:
        raise _SourceError(errno.errorcode.get(error.errno or 0, "")) from None
