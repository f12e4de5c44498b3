"""Opens what lies in a folder that a job filled: one name at a time, never through a link, never across a mount.

Invariant: what is returned lies in the folder that was given; the kernel holds it (openat2), or, before Linux 5.6,
O_NOFOLLOW and a comparison of devices.
Never: opens a name with a slash in it; blocks on what it opens.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from functools import cache
from typing import Final

_NR_OPENAT2: Final = 437  # the same on every machine but alpha
_RESOLVE_NO_XDEV: Final = 0x01
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_NO_SYMLINKS: Final = 0x04
_RESOLVE_BENEATH: Final = 0x08
_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
_HANDLE: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_TRIES: Final = 8


class _How(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


_syscall: Final = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_char_p, ctypes.POINTER(_How), ctypes.c_size_t)


def open_file(folder_fd: int, name: bytes) -> int:
    """A reading fd of what is called `name`, whatever it is; its mode is no obstacle to its owner. Raises OSError."""
    return _open_at_any_mode(folder_fd, name, _FLAGS)


def open_folder(folder_fd: int, name: bytes) -> int:
    """The same of a folder, which its owner can then look into."""
    descriptor = _open_at_any_mode(folder_fd, name, _FLAGS | os.O_DIRECTORY)
    if os.fstat(descriptor).st_mode & 0o500 != 0o500:
        with contextlib.suppress(OSError):
            os.fchmod(descriptor, 0o700)
    return descriptor


def _open_at_any_mode(folder_fd: int, name: bytes, flags: int) -> int:
    if b"/" in name or name in (b"", b".", b".."):
        raise OSError(errno.EXDEV, "not a plain name")
    try:
        return _open(folder_fd, name, flags)
    except PermissionError:
        _make_readable(folder_fd, name, 0o700 if flags & os.O_DIRECTORY else 0o600)
        return _open(folder_fd, name, flags)


def _make_readable(folder_fd: int, name: bytes, mode: int) -> None:
    """For a daemon of an ordinary user: what his job closed with chmod is still his."""
    handle = _open(folder_fd, name, _HANDLE)
    try:
        os.chmod(f"/proc/self/fd/{handle}", mode)
    finally:
        os.close(handle)


def _open(folder_fd: int, name: bytes, flags: int) -> int:
    descriptor = _openat2(folder_fd, name, flags) if _has_openat2() else os.open(name, flags, dir_fd=folder_fd)
    if not _has_openat2() and os.fstat(descriptor).st_dev != os.fstat(folder_fd).st_dev:
        os.close(descriptor)
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    return descriptor


def _openat2(folder_fd: int, name: bytes, flags: int) -> int:
    resolve = _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_XDEV
    how = _How(flags, 0, resolve)
    for _ in range(_TRIES):
        descriptor: int = _syscall(_NR_OPENAT2, folder_fd, name, ctypes.byref(how), ctypes.sizeof(how))
        if descriptor >= 0:
            return descriptor
        number = ctypes.get_errno()
        # EAGAIN: something was renamed meanwhile, so that the kernel cannot vouch for BENEATH; or somebody's lease.
        if number not in (errno.EINTR, errno.EAGAIN):
            break
    raise OSError(number, os.strerror(number))


@cache
def _has_openat2() -> bool:
    """Whether it works here: an old kernel or a container's filter may lack it, and say so in different ways."""
    here = os.open("/", _HANDLE | os.O_DIRECTORY)
    try:
        os.close(_openat2(here, b"proc", _HANDLE | os.O_DIRECTORY))
    except OSError as error:
        return error.errno == errno.EXDEV  # /proc is a mount, and it noticed
    finally:
        os.close(here)
    return True
