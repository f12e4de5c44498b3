"""The control socket: bound once by the arbiter, inherited by each broker, unlinked only by the arbiter.

The state folder's lock is held before this is called. Daemons of different state folders may still be told the same
socket: a socket at which somebody answers is never taken over.
"""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from supervisor.core.errors import InstanceHeld, SettingsError
from supervisor.paths import NAME

_BACKLOG: Final = 512
_FOLDER_LOCK_S: Final = 5.0
_SO_PASSRIGHTS: Final = 83


@dataclass(frozen=True)
class Listener:
    """A listening socket, and the identity (device, inode) of the file that names it."""

    socket: socket.socket
    path: str
    identity: tuple[int, int]

    def unlink(self) -> None:
        """Removes the file unless somebody else's is there by now."""
        try:
            if _identity(os.lstat(self.path)) == self.identity:
                os.unlink(self.path)
        except FileNotFoundError:
            pass


def bind(path: str, group: str | None) -> Listener:
    """A listening, non-blocking socket at `path`, 0600, or 0660 for the named group.

    Raises InstanceHeld when a daemon answers there, SettingsError when something else is in the way.
    """
    gid = None if group is None else _gid_of(group)
    with _folder_locked(os.path.dirname(path)):
        _remove_stale(path)
        try:
            return _bind(path, gid)
        except OSError as error:
            raise SettingsError(f"cannot bind the socket {path}: {error.strerror}") from error


def _bind(path: str, gid: int | None) -> Listener:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    _refuse_descriptors(listener)
    umask = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(umask)
    if gid is not None:
        os.chown(path, -1, gid, follow_symlinks=False)
        os.chmod(path, 0o660)
        _open_folder_to(os.path.dirname(path), gid)
    # Nobody can connect before this line, whatever the mode was.
    listener.listen(_BACKLOG)
    return Listener(listener, path, _identity(os.lstat(path)))


def _refuse_descriptors(listener: socket.socket) -> None:
    """HAZARD: whoever drops the last descriptor of a socket that lingers (SO_LINGER) waits for it inside the kernel, and
    a client can make that us. Connections inherit this. Before Linux 6.16 it cannot be had."""
    with suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_PASSRIGHTS, 0)


@contextmanager
def _folder_locked(folder: str) -> Iterator[None]:
    """Looking, unlinking and binding are one step among all daemons that use this folder."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise SettingsError(
            f"cannot open the socket's folder {folder}: {error.strerror}: it must be a folder of uid {os.geteuid()}; "
            "choose another with --socket"
        ) from error
    give_up_at = time.monotonic() + _FOLDER_LOCK_S
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= give_up_at:
                    raise InstanceHeld(f"another process keeps the folder {folder} locked") from None
                time.sleep(0.01)
        yield
    finally:
        os.close(fd)


def _remove_stale(path: str) -> None:
    try:
        seen = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(seen.st_mode):
        raise SettingsError(f"{path} is in the way and is no socket: choose another with --socket, or remove it")
    if seen.st_uid != os.geteuid():
        raise SettingsError(f"{path} is a socket of uid {seen.st_uid}: choose another with --socket")
    if _somebody_answers(path):
        raise InstanceHeld(f"another daemon answers on {path}: choose another socket with --socket")
    os.unlink(path)


def _somebody_answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        return probe.connect_ex(path) not in (errno.ECONNREFUSED, errno.ENOENT)


def _open_folder_to(folder: str, gid: int) -> None:
    """Lets the group walk into the daemon's own socket folder; a folder that we did not make is left as it is."""
    seen = os.stat(folder)
    if os.path.basename(folder) == NAME and seen.st_uid == os.geteuid():
        os.chown(folder, -1, gid)
        os.chmod(folder, 0o710)  # noqa: S103


def _gid_of(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise SettingsError(f"socket_group: there is no group {group!r} on this machine") from None


def _identity(seen: os.stat_result) -> tuple[int, int]:
    return seen.st_dev, seen.st_ino
