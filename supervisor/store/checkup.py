"""What `doctor` asks of the database, on a reading connection of its own.

Invariant: opened and closed through SQLite alone. Opening the file in any other way would drop SQLite's locks when
that descriptor is closed. Never writes, and decides nothing: what is good or bad is the caller's knowledge.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import NamedTuple

from supervisor.core.errors import StorageError
from supervisor.store.db import open_reader
from supervisor.store.failure import storage_error
from supervisor.store.quick_check import Damage, look_for_damage


class Checkup(NamedTuple):
    """Sizes in bytes, moments in microseconds of the wall clock; `newest_event_us` None if nothing ever happened."""

    damage: Damage
    newest_event_us: int | None
    size: int
    wal_size: int
    links: int


def check_up(path: str) -> Checkup:
    """Looks the database over, for about a second at most; raises StorageError if it cannot be read."""
    try:
        with closing(open_reader(path)) as conn:
            newest = conn.execute("SELECT at_us FROM events ORDER BY id DESC LIMIT 1").fetchone()
            damage = look_for_damage(conn)
        seen = os.stat(path)
    except sqlite3.Error as error:
        raise storage_error(f"looking over {path}", error) from error
    except OSError as error:
        raise StorageError(f"looking at {path} failed: {error.strerror}") from error
    return Checkup(damage, None if newest is None else int(newest[0]), seen.st_size, _wal_size(path), seen.st_nlink)


def sqlite_version() -> str:
    """The version of the SQLite library that this process uses."""
    return sqlite3.sqlite_version


def _wal_size(path: str) -> int:
    try:
        return os.stat(f"{path}-wal").st_size
    except FileNotFoundError:
        return 0
