"""What an error of SQLite means to the daemon: a full disk, a file that is no database of ours, or failed storage.

Never decides what to do about it: that is its caller's.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from supervisor.core.errors import StorageError

_BROKEN: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
_STORAGE: Final = _BROKEN | {
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_NOLFS,
}
_REMEDIES: Final[dict[int | None, str]] = {
    sqlite3.SQLITE_READONLY: ": the disk has become read-only, or the file is not ours to write; repair it, start again",
    sqlite3.SQLITE_IOERR: ": the disk fails or has become read-only; the kernel's log says more",
}


def is_full(error: BaseException) -> bool:
    """Whether `error` says that the disk (or `max_page_count`) is full."""
    return _primary_code(error) == sqlite3.SQLITE_FULL


def is_broken(error: BaseException) -> bool:
    """Whether `error` says that the file is damaged or no database."""
    return _primary_code(error) in _BROKEN


def is_storage(error: BaseException) -> bool:
    """Whether `error` is the storage's and not the statement's: nothing more can be said about this connection."""
    return _primary_code(error) in _STORAGE


def storage_error(doing: str, error: sqlite3.Error) -> StorageError:
    """The daemon's error for `error`; `doing` says what was tried, as in `the commit`."""
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StorageError(f"{doing} failed: {error} ({name}){_REMEDIES.get(_primary_code(error), '')}")


def _primary_code(error: BaseException) -> int | None:
    # HAZARD: the extended code is what arrives (SQLITE_IOERR_FSYNC is 1034); its low byte is the primary one.
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(error, sqlite3.Error) and isinstance(code, int) else None
