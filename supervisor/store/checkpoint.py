"""When the write-ahead log is copied into the database: on the writer's own connection, between batches.

Invariant: the log stays near its limit while nobody reads for long, and shrinks when the daemon is idle. Never
waits for a reader, and never runs inside a transaction.
"""

from __future__ import annotations

import os
import sqlite3
from typing import Final, NamedTuple

from supervisor.store.db import BUSY_TIMEOUT_MS, WAL_LIMIT_BYTES, Writer
from supervisor.store.failure import is_full, storage_error

RETRY_GROWTH_BYTES: Final = 1 << 20
"""While a reader holds the log, a checkpoint is tried again each time it has grown by so much."""


class Checkpoint(NamedTuple):
    """What a checkpoint did. `log_pages` were in the log, `copied_pages` of them are in the database now.

    `blocked` says that a reader, or a full disk, kept it from finishing.
    """

    mode: str
    blocked: bool
    log_pages: int
    copied_pages: int


def wal_bytes(conn: Writer) -> int:
    """The size of the write-ahead log's file; 0 if there is none."""
    try:
        return os.stat(f"{conn.path}-wal").st_size
    except FileNotFoundError:
        return 0


def checkpoint(conn: Writer, *, idle: bool = False) -> Checkpoint | None:
    """Call it after each batch, and with `idle` when nothing has been written for a second; None if not needed yet.

    Busy: PASSIVE each time about 1000 pages were logged. Idle: PASSIVE if anything was written since the last one,
    TRUNCATE if the log is large. Raises StorageError.
    """
    size = wal_bytes(conn)
    if size <= WAL_LIMIT_BYTES:
        conn.wal_bytes_tried = 0
    if idle:
        if size > WAL_LIMIT_BYTES:
            return _run(conn, "TRUNCATE", size)
        return _run(conn, "PASSIVE", size) if conn.total_changes != conn.changes_checkpointed else None
    if size > WAL_LIMIT_BYTES and size >= conn.wal_bytes_tried + RETRY_GROWTH_BYTES:
        return _run(conn, "PASSIVE", size)
    return None


def _run(conn: Writer, mode: str, size: int) -> Checkpoint:
    try:
        if mode == "TRUNCATE":
            # It would wait for readers as long as the busy timeout, and every submit with it.
            conn.execute("PRAGMA busy_timeout = 0")
            row = conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        else:
            row = conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error as error:
        if not is_full(error):
            raise storage_error("the checkpoint", error) from error
        row = (1, 0, 0)
    finally:
        conn.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS:d}")
    busy, log_pages, copied_pages = (int(value) for value in row)
    blocked = bool(busy) or copied_pages < log_pages
    conn.wal_bytes_tried = size
    if not blocked:
        conn.changes_checkpointed = conn.total_changes
    return Checkpoint(mode, blocked, log_pages, copied_pages)
