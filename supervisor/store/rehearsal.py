"""Whether this release could take the database over, found out while another one is using it.

Invariant: the database itself is only read, through SQLite and without its write lock. An older one is copied whole
beside it, and the copy is migrated and removed: what the real migration would meet, room on the disk too, shows here.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import NamedTuple
from urllib.parse import quote

from supervisor.core.errors import SchemaError, StorageError
from supervisor.store.db import BUSY_TIMEOUT_MS, check_readable
from supervisor.store.failure import is_broken, storage_error
from supervisor.store.migrations import CURRENT_VERSION, migrate


class Rehearsal(NamedTuple):
    """The schema's version now, and after this release has taken over."""

    version: int
    becomes: int


def rehearse(path: str) -> Rehearsal:
    """Checks the database, and if it is older migrates a copy of it. Raises SchemaError, StorageError.

    A database that is not there yet is none to worry about.
    """
    if not os.path.lexists(path):
        return Rehearsal(CURRENT_VERSION, CURRENT_VERSION)
    try:
        version = check_readable(path)
        if version < CURRENT_VERSION:
            _migrate_copy(path)
    except sqlite3.Error as error:
        if is_broken(error):
            raise SchemaError(f"{path} cannot be read: {error}") from error
        raise storage_error(f"rehearsing the migration of {path}", error) from error
    except OSError as error:
        raise StorageError(f"rehearsing the migration of {path} failed: {error}") from error
    return Rehearsal(version, CURRENT_VERSION)


def _migrate_copy(path: str) -> None:
    copy = f"{path}.rehearsal"
    _remove(copy)
    try:
        os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        # Not `query_only`: that would forbid writing the copy too.
        with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, isolation_level=None)) as conn:
            conn.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS:d}")
            conn.execute("PRAGMA trusted_schema = OFF")
            conn.execute("VACUUM INTO ?", (copy,))
        with closing(sqlite3.connect(copy, isolation_level=None)) as conn:
            # Nobody needs the copy after a crash.
            conn.execute("PRAGMA synchronous = OFF")
            conn.execute("PRAGMA foreign_keys = ON")
            migrate(conn)
    finally:
        _remove(copy)


def _remove(copy: str) -> None:
    for leftover in (copy, f"{copy}-journal", f"{copy}-wal", f"{copy}-shm"):
        if os.path.lexists(leftover):
            os.unlink(leftover)
