"""The numbered steps from an empty file to this release's database. Forward only; a released step is never edited.

Invariant: each step is one IMMEDIATE transaction that includes its `user_version`, and a file of an older release
is backed up whole before the first step. Never opens a database by itself.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

from supervisor.store.schema import VERSION_1

APPLICATION_ID: Final = 0x574B4354
"""`WKCT` in the file's header: the mark of our databases."""


class Migration(NamedTuple):
    """The statements that lead to `version` from the one before."""

    version: int
    statements: tuple[str, ...]


MIGRATIONS: Final = (Migration(1, VERSION_1),)
CURRENT_VERSION: Final = MIGRATIONS[-1].version


def version_of(conn: sqlite3.Connection) -> int:
    """The `user_version` of the database, 0 for an empty one."""
    return int(conn.execute("PRAGMA user_version").fetchone()[0])


def migrate(conn: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """Brings the database to the last of `migrations`; returns how many steps were taken. Raises sqlite3.Error."""
    pending = [step for step in migrations if step.version > version_of(conn)]
    for step in pending:
        _take(conn, step)
    return len(pending)


def _take(conn: sqlite3.Connection, step: Migration) -> None:
    conn.execute("BEGIN IMMEDIATE")
    try:
        for statement in step.statements:
            conn.execute(statement)
        _check_references(conn)
        # A pragma takes no bound values; the number is one of ours.
        conn.execute(f"PRAGMA user_version = {step.version:d}")
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise


def _check_references(conn: sqlite3.Connection) -> None:
    broken = conn.execute("PRAGMA foreign_key_check").fetchall()
    if broken:
        raise sqlite3.IntegrityError(f"the migration leaves {len(broken)} dangling references")


def back_up(conn: sqlite3.Connection, path: str, version: int) -> str:
    """Writes the whole database to `path.v<version>.backup` (mode 0600, replaced whole) and returns that path."""
    target = f"{path}.v{version}.backup"
    partial = f"{target}.partial"
    _remove(partial)
    # An empty file is a legal target of VACUUM INTO: so the copy never has the umask's mode.
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    conn.execute("VACUUM INTO ?", (partial,))
    sync(partial)
    os.replace(partial, target)
    sync(os.path.dirname(os.path.abspath(target)))
    return target


def names_of(conn: sqlite3.Connection) -> frozenset[str]:
    """The names of all tables, indexes and triggers."""
    return frozenset(row[0] for row in conn.execute("SELECT name FROM sqlite_schema").fetchall())


def names_of_version(version: int, migrations: Sequence[Migration] = MIGRATIONS) -> frozenset[str]:
    """The names that a database of `version` must have at least."""
    model = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrate(model, [step for step in migrations if step.version <= version])
        return names_of(model)
    finally:
        model.close()


def sync(path: str) -> None:
    """Makes a file or folder durable. Never for a database that this process has open: closing would drop its locks."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
