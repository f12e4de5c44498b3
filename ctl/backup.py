"""Fetching a backup: piece by piece into a file of its own, which gets its name when it is whole and on the disk.

Invariant: under FILE there is never half a backup, whatever dies; its mode is 0600 from the beginning. The daemon is
never told where it goes.
"""

from __future__ import annotations

import os
from base64 import b64decode

from ctl.errors import DaemonFailed, NotFound, invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctl.session import Session

PIECE_BYTES = 512 << 10
_BEGINNINGS = 5
"""So often it is begun: a broker that was restarted has no copy any more."""
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def save_backup(session: Session, path: str, *, force: bool) -> int:
    """Writes it to `path`; returns its size. Raises InvalidRequest where that cannot be, or is there already."""
    folder, name = os.path.split(os.path.abspath(path))
    if os.path.isdir(path):
        raise invalid(f"{path} is a folder: name the file in it")
    if os.path.lexists(path) and not force:
        raise _exists(path)
    partial = os.path.join(folder, f".{name}.{os.urandom(4).hex()}.partial")
    try:
        descriptor = os.open(partial, _FLAGS, 0o600)
    except OSError as error:
        raise invalid(f"{partial}: {error.strerror}") from None
    try:
        try:
            size = _fetch(session, descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _give_name(partial, path, force=force)
    finally:
        _remove(partial)
    _sync_folder(folder)
    return size


def _fetch(session: Session, descriptor: int) -> int:
    for _ in range(_BEGINNINGS):
        os.ftruncate(descriptor, 0)
        for made in session.stream("backup", dict):
            try:
                return _pieces(session, descriptor, made["backup"], made["size"])
            except NotFound:
                break
    raise DaemonFailed("internal", "the daemon lost its copy again and again: its log says more")


def _pieces(session: Session, descriptor: int, backup: str, size: int) -> int:
    offset = 0
    while offset < size:
        answer = session.call("backup_piece", {"backup": backup, "offset": offset, "length": PIECE_BYTES})
        data = memoryview(b64decode(answer["data"]))
        while data:
            written = os.pwrite(descriptor, data, offset)
            data, offset = data[written:], offset + written
    return offset


def _give_name(partial: str, path: str, *, force: bool) -> None:
    if force:
        os.rename(partial, path)
        return
    try:
        os.link(partial, path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError:  # a file system without hard links cannot refuse and name in one step
        if os.path.lexists(path):
            raise _exists(path) from None
        os.rename(partial, path)


def _exists(path: str) -> Exception:
    return invalid(f"{path} is there already: --force replaces it")


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
