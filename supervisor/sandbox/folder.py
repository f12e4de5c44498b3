"""Work folders on the disk: made fresh, and removed although a job filled them with hostile names.

Invariant: works by directory descriptors and O_NOFOLLOW only, so a link is removed, never followed; folders
are flattened on the way, so depth costs neither stack nor descriptors.
Never: touches anything outside the folder it was given; runs while a job of that folder lives.
"""

from __future__ import annotations

import os

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_HANDLE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_folder(path: str, dir_fd: int | None = None) -> int:
    """A descriptor of a folder that is no link. OSError: ENOTDIR, ELOOP, ENOENT, EACCES."""
    return os.open(path, _FOLDER, dir_fd=dir_fd)


def make_fresh(parent_fd: int, name: str, uid: int, gid: int) -> None:
    """An empty folder of mode 0700 that belongs to uid, instead of whatever had the name."""
    remove(parent_fd, name)
    os.mkdir(name, 0o700, dir_fd=parent_fd)
    if uid != os.geteuid():
        os.chown(name, uid, gid, dir_fd=parent_fd, follow_symlinks=False)


def remove(parent_fd: int, name: str) -> None:
    """Removes a name, whatever it is, with all of its content. A missing name is fine."""
    try:
        fd = _open_at_any_mode(parent_fd, name)
    except FileNotFoundError:
        return
    except OSError:
        os.unlink(name, dir_fd=parent_fd)
        return
    try:
        empty(fd)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=parent_fd)


def empty(fd: int) -> None:
    """Removes all content of an open folder."""
    moved = 0
    while names := os.listdir(fd):
        for name in names:
            if not _unlinked(fd, name):
                moved = _flatten(fd, name, moved)


def _flatten(top_fd: int, name: str, moved: int) -> int:
    """Removes a folder below the top, after its own folders were moved up to the top."""
    fd = _open_at_any_mode(top_fd, name)
    try:
        for inner in os.listdir(fd):
            if not _unlinked(fd, inner):
                moved += 1
                _make_passable(fd, inner)  # an ordinary user may only move a folder that he can write
                os.rename(inner, _free_name(top_fd, moved), src_dir_fd=fd, dst_dir_fd=top_fd)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=top_fd)
    return moved


def _free_name(top_fd: int, number: int) -> str:
    name = f".removed-{number}"
    while True:
        try:
            os.stat(name, dir_fd=top_fd, follow_symlinks=False)
        except FileNotFoundError:
            return name
        name += "-"


def _unlinked(fd: int, name: str) -> bool:
    try:
        os.unlink(name, dir_fd=fd)
    except FileNotFoundError:
        return True
    except (IsADirectoryError, PermissionError):
        return False
    return True


def _make_passable(parent_fd: int, name: str) -> None:
    handle = os.open(name, _HANDLE, dir_fd=parent_fd)
    try:
        os.chmod(f"/proc/self/fd/{handle}", 0o700)
    finally:
        os.close(handle)


def _open_at_any_mode(parent_fd: int, name: str) -> int:
    try:
        fd = open_folder(name, parent_fd)
    except PermissionError:
        _make_passable(parent_fd, name)
        return open_folder(name, parent_fd)
    if os.fstat(fd).st_mode & 0o700 != 0o700:
        os.fchmod(fd, 0o700)
    return fd
