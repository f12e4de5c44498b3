"""Opening the database: created whole, checked before the first write, refused untouched when it is not ours.

Invariant: one writer connection makes all writes and all checkpoints (SQLite before 3.51.3 can lose committed
writes otherwise); a file that is newer, foreign, damaged or empty stays byte-identical. Never resets, repairs or
replaces a database, and never opens its files by itself: closing such a descriptor would drop SQLite's locks.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from typing import Final, Literal, TypeAlias
from urllib.parse import quote

from supervisor.core.errors import SchemaError, StorageError
from supervisor.store.failure import is_broken, storage_error
from supervisor.store.migrations import (
    APPLICATION_ID,
    CURRENT_VERSION,
    back_up,
    migrate,
    names_of,
    names_of_version,
    sync,
    version_of,
)
from supervisor.store.quick_check import look_for_damage

BUSY_TIMEOUT_MS: Final = 5000
WAL_LIMIT_BYTES: Final = 4 << 20
"""What the write-ahead log is cut back to when it starts over; about 1000 pages."""
_STATEMENTS_CACHED: Final = 256

Synchronous: TypeAlias = Literal["full", "normal"]
_SYNCHRONOUS: Final[dict[Synchronous, int]] = {"normal": 1, "full": 2}
"""What SQLite calls them. Its `off` is not offered: it loses the database itself."""


Reader: TypeAlias = sqlite3.Connection
"""A connection that only reads, for those who hold one: nobody else imports sqlite3."""


class Writer(sqlite3.Connection):
    """The writer connection. `path` is the database; the two marks are the checkpoint policy's memory."""

    path: str = ""
    wal_bytes_tried: int = 0
    changes_checkpointed: int = 0


def open_writer(path: str, synchronous: Synchronous = "full") -> Writer:
    """The one connection that writes. A missing database is created (mode 0600), an older one backed up and migrated.

    `synchronous` normal does not wait for the disk at each commit: a power loss may undo the last ones, and only that.
    Raises SchemaError (newer, foreign, damaged, empty: left exactly as it is) or StorageError.
    """
    try:
        if os.path.lexists(path):
            _check(path)
        else:
            _create(path)
        return _open_checked(path, synchronous)
    except sqlite3.Error as error:
        if is_broken(error):
            raise SchemaError(_damaged(path, str(error))) from error
        raise storage_error(f"opening {path}", error) from error
    except OSError as error:
        raise StorageError(f"opening {path} failed: {error}") from error


def open_reader(path: str) -> sqlite3.Connection:
    """A connection that cannot write. Use it in the thread that opened it and fetch every answer whole.

    Raises StorageError.
    """
    try:
        conn = _connect_read_only(path)
        conn.execute("PRAGMA temp_store = MEMORY")
        return conn
    except sqlite3.Error as error:
        raise storage_error(f"opening {path} for reading", error) from error


def _connect_read_only(path: str) -> sqlite3.Connection:
    conn = sqlite3.connect(
        f"file:{quote(path)}?mode=ro", uri=True, isolation_level=None, cached_statements=_STATEMENTS_CACHED
    )
    try:
        conn.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS:d}")
        conn.execute("PRAGMA query_only = ON")
        conn.execute("PRAGMA trusted_schema = OFF")
        conn.execute("PRAGMA cell_size_check = ON")
        conn.execute("PRAGMA schema_version").fetchone()
    except BaseException:
        conn.close()
        raise
    return conn


def _check(path: str) -> None:
    try:
        check_readable(path)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
            raise
        _roll_back_interrupted(path)
        check_readable(path)


def check_readable(path: str) -> int:
    """The version of the database, looked over without a write. Raises SchemaError, sqlite3.Error, OSError."""
    kind = os.stat(path)
    if not stat.S_ISREG(kind.st_mode):
        raise SchemaError(f"{path} is not a regular file: the database must be one")
    if kind.st_size == 0:
        raise SchemaError(_damaged(path, "it is empty"))
    conn = _connect_read_only(path)
    try:
        _check_owner_and_version(conn, path)
        _check_content(conn, path)
        return version_of(conn)
    finally:
        conn.close()


def _roll_back_interrupted(path: str) -> None:
    """Undoes what a kill interrupted before the file had a write-ahead log (a backup's first start), if it is ours."""
    conn = sqlite3.connect(f"file:{quote(path)}?immutable=1", uri=True, isolation_level=None)
    try:
        _check_owner_and_version(conn, path)
    finally:
        conn.close()
    conn = sqlite3.connect(path, isolation_level=None)
    try:
        conn.execute("PRAGMA schema_version").fetchone()
    finally:
        conn.close()


def _check_owner_and_version(conn: sqlite3.Connection, path: str) -> None:
    application_id = int(conn.execute("PRAGMA application_id").fetchone()[0])
    if application_id != APPLICATION_ID:
        raise SchemaError(
            f"{path} is a database of another program (application_id {application_id:#x}): "
            "it was left as it is; give the supervisor another state folder"
        )
    version = version_of(conn)
    if version > CURRENT_VERSION:
        raise SchemaError(
            f"{path} has schema version {version}, this release knows {CURRENT_VERSION} at most: "
            "it was left as it is; use the newer release, or restore a backup made before the upgrade"
        )
    if version < 1:
        raise SchemaError(_damaged(path, "it carries no schema version"))


def _check_content(conn: sqlite3.Connection, path: str) -> None:
    # SQLite reads the missing end of a cut page as zeros. While there is a log, its pages may replace that end.
    page_bytes = int(conn.execute("PRAGMA page_size").fetchone()[0])
    if os.stat(path).st_size % page_bytes and not _has_log(path):
        raise SchemaError(_damaged(path, "its end is cut off in the middle of a page"))
    missing = names_of_version(version_of(conn)) - names_of(conn)
    if missing:
        raise SchemaError(_damaged(path, f"it lacks {', '.join(sorted(missing))}"))
    findings = look_for_damage(conn).findings
    if findings:
        raise SchemaError(_damaged(path, "; ".join(findings)))


def _has_log(path: str) -> bool:
    try:
        return os.stat(f"{path}-wal").st_size > 0
    except FileNotFoundError:
        return False


def _damaged(path: str, why: str) -> str:
    return (
        f"{path} is no usable database: {why}. It was left as it is; nothing is ever started over by itself. "
        "Restore a backup, or move the file away to begin with an empty queue"
    )


def _create(path: str) -> None:
    """Builds the database beside its place and moves it there whole: a crash leaves none, never half of one."""
    # HAZARD: SQLite would replay a leftover log into any new file of that name.
    for leftover in (f"{path}-wal", f"{path}-journal"):
        if os.path.lexists(leftover):
            raise SchemaError(
                f"{leftover} is there but {path} is not: the log may hold jobs of the lost database. "
                "Put the database back, or move the log away to begin with an empty queue"
            )
    building = f"{path}.new"
    for leftover in (building, f"{building}-journal", f"{building}-wal", f"{building}-shm"):
        if os.path.lexists(leftover):
            os.unlink(leftover)
    os.close(os.open(building, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    conn = sqlite3.connect(building, isolation_level=None)
    try:
        conn.execute("PRAGMA auto_vacuum = INCREMENTAL")
        conn.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
        conn.execute("PRAGMA foreign_keys = ON")
        migrate(conn)
        conn.execute("PRAGMA journal_mode = WAL").fetchall()
    finally:
        conn.close()
    sync(building)
    os.rename(building, path)
    sync(os.path.dirname(os.path.abspath(path)))


def _open_checked(path: str, synchronous: Synchronous) -> Writer:
    conn = sqlite3.connect(path, isolation_level=None, cached_statements=_STATEMENTS_CACHED, factory=Writer)
    try:
        conn.path = path
        _configure(conn, synchronous)
        version = version_of(conn)
        if version < CURRENT_VERSION:
            back_up(conn, path, version)
            migrate(conn)
    except BaseException:
        conn.close()
        raise
    return conn


def _configure(conn: Writer, synchronous: Synchronous) -> None:
    conn.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS:d}")
    mode = conn.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StorageError(f"{conn.path}: the file system does not allow a write-ahead log (journal mode is {mode})")
    for pragma in (
        f"PRAGMA synchronous = {synchronous}",
        "PRAGMA foreign_keys = ON",
        "PRAGMA trusted_schema = OFF",
        "PRAGMA cell_size_check = ON",
        "PRAGMA temp_store = MEMORY",
        "PRAGMA mmap_size = 0",
        "PRAGMA cache_size = -2048",
        "PRAGMA wal_autocheckpoint = 0",
        f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES:d}",
    ):
        conn.execute(pragma).fetchall()
    for name, wanted in (("synchronous", _SYNCHRONOUS[synchronous]), ("foreign_keys", 1), ("wal_autocheckpoint", 0)):
        found = conn.execute(f"PRAGMA {name}").fetchone()[0]
        if found != wanted:
            raise StorageError(f"{conn.path}: SQLite did not accept {name} = {wanted}: it is {found}")
    # Where nothing can be written, that is said now and not by the first job. BEGIN IMMEDIATE alone does not say it.
    conn.execute("BEGIN IMMEDIATE")
    try:
        conn.execute(f"PRAGMA user_version = {version_of(conn):d}")
    finally:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
