"""Looks at the storage of a daemon and makes its checks. Blocks for a second or two: for a thread, or a process alone.

Invariant: reads only; the database is opened through the store alone.
"""

from __future__ import annotations

import ctypes
import os
import struct
import time
from typing import Final

from supervisor.core.errors import StorageError
from supervisor.doctor import storage
from supervisor.doctor.check import Check, fail, skipped
from supervisor.paths import Paths, others_may_replace
from supervisor.store import check_up, sqlite_version

_STATFS_BYTES: Final = 256
_NEED_DATABASE: Final = ("database", "database_links", "wal", "clock")


def storage_checks(paths: Paths, socket_group: str | None, synchronous: str = "full") -> list[Check]:
    """Everything about the folders and the database. What is not there yet is skipped."""
    checks = [
        storage.sqlite_check(sqlite_version()),
        storage.synchronous_check(synchronous),
        *_folder_checks(paths, socket_group),
        *_room_checks(_nearest(paths.state_dir)),
    ]
    if not os.path.isdir(paths.state_dir):
        return [*checks, *_not_yet(_NEED_DATABASE, paths.state_dir)]
    if not _is_ours(paths.state_dir):
        why = "the state folder is another user's: its database is not opened as this one"
        return [*checks, *(skipped(name, why) for name in _NEED_DATABASE)]
    return [*checks, *_database_checks(paths.database)]


def instance_of(paths: Paths) -> str | None:
    """The state folder's id, None if it has none yet."""
    try:
        with open(paths.instance, encoding="ascii", errors="replace") as file:
            return file.read(65).strip() or None
    except OSError:
        return None


def _folder_checks(paths: Paths, socket_group: str | None) -> list[Check]:
    folder = os.path.dirname(paths.socket)
    # A group that may use a socket inside of the state folder must be able to walk there.
    shared = socket_group is not None and folder == paths.state_dir
    checks = [
        _folder("state_dir", paths.state_dir, most=0o710 if shared else 0o700),
        _folder("socket_dir", folder, most=None),
    ]
    try:
        checks.append(storage.socket_check(paths.socket, os.lstat(paths.socket), socket_group))
    except OSError:
        checks += _not_yet(("socket",), paths.socket)
    return checks


def _folder(name: str, path: str, *, most: int | None) -> Check:
    try:
        seen = os.stat(path)
    except FileNotFoundError:
        return _not_yet((name,), path)[0]
    except OSError as error:
        return fail(name, f"{path}: {error.strerror}", "choose another one, or let the daemon's user enter its parents")
    return storage.folder_check(name, path, seen, os.geteuid(), most=most, replaceable=others_may_replace(seen))


def _not_yet(names: tuple[str, ...], path: str) -> list[Check]:
    return [skipped(name, f"{path} is not there yet: the daemon's start makes it") for name in names]


def _is_ours(folder: str) -> bool:
    return os.stat(folder).st_uid == os.geteuid()


def _nearest(folder: str) -> str:
    """The folder, or the nearest of its parents that is there already."""
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder


def _room_checks(folder: str) -> list[Check]:
    room = os.statvfs(folder)
    return [
        storage.file_system_check(_magic(folder), folder),
        storage.space_check(room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize),
        storage.inodes_check(room.f_favail, room.f_files),
    ]


def _magic(folder: str) -> int:
    """The kernel's number for the kind of file system; 0 where it cannot be asked."""
    libc = ctypes.CDLL(None, use_errno=True)
    answer = ctypes.create_string_buffer(_STATFS_BYTES)
    if libc.statfs(os.fsencode(folder), answer) != 0:
        return 0
    # struct statfs begins with f_type, a long on every machine that this runs on.
    (magic,) = struct.unpack_from("@l", answer)
    return int(magic) & 0xFFFFFFFF


def _database_checks(path: str) -> list[Check]:
    if not os.path.lexists(path):
        return _not_yet(_NEED_DATABASE, path)
    try:
        checkup = check_up(path)
    except StorageError as error:
        unreadable = fail("database", str(error), "stop the daemon and restore a backup")
        return [unreadable, *(skipped(name, "the database cannot be read") for name in _NEED_DATABASE[1:])]
    return storage.database_checks(path, checkup, time.time_ns() // 1000)
