"""A copy of the database at one moment, made beside all reading and writing, and checked.

Invariant: the copy is made by SQLite on a connection of its own that cannot write to the database; the file it
becomes has mode 0600 from the beginning. Meanwhile the log cannot be cut back. Never says where the copy goes from
there.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from typing import Final
from urllib.parse import quote

from supervisor.core.errors import RequestError, StorageError
from supervisor.core.units import format_size
from supervisor.store.db import BUSY_TIMEOUT_MS
from supervisor.store.failure import is_full, storage_error

SPARE_BYTES: Final = 16 << 20
"""So much room must be left beside the copy, for the queue itself to go on."""
_FINDINGS: Final = 3


class DatabaseCopy:
    """One copy of the database at `path`, to be made as `target`. `make` is for a thread, `stop` for any other."""

    def __init__(self, path: str, target: str) -> None:
        self._path = path
        self._target = target
        self._connection: sqlite3.Connection | None = None
        self._stopped = False

    def make(self) -> list[str]:
        """Makes and checks it; returns the sha256 of every content that its jobs refer to.

        Raises RequestError `storage_full` where there is too little room, StorageError where it cannot be made.
        """
        try:
            self._copy()
            return self._check()
        except sqlite3.Error as error:
            if is_full(error):
                raise _too_little_room(self._target, None) from error
            raise storage_error(f"copying {self._path}", error) from error
        except OSError as error:
            raise StorageError(f"copying {self._path} failed: {error.strerror}") from error

    def stop(self) -> None:
        """Ends a `make` that is under way: nobody wants it any more."""
        self._stopped = True
        if self._connection is not None:
            with suppress(sqlite3.ProgrammingError):  # closed just now
                self._connection.interrupt()

    def _copy(self) -> None:
        with closing(self._open(self._path)) as conn:
            conn.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS:d}")
            self._check_room(conn)
            # An empty file is a legal target: so the copy never has the umask's mode.
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(self._target, flags, 0o600))
            # HAZARD: `query_only` would refuse it; that this connection cannot write is the mode it was opened in.
            conn.execute("VACUUM INTO ?", (self._target,))

    def _check(self) -> list[str]:
        with closing(self._open(self._target)) as conn:
            findings = [str(row[0]) for row in conn.execute(f"PRAGMA integrity_check({_FINDINGS})").fetchall()]
            if findings != ["ok"]:
                raise StorageError(f"the copy of {self._path} is damaged: {'; '.join(findings)}")
            return [row[0] for row in conn.execute("SELECT DISTINCT sha256 FROM job_contents").fetchall()]

    def _open(self, path: str) -> sqlite3.Connection:
        # Another thread may interrupt it, and does nothing else with it.
        conn = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
        self._connection = conn
        if self._stopped:
            conn.close()
            raise StorageError("the copy was stopped")
        return conn

    def _check_room(self, conn: sqlite3.Connection) -> None:
        pages, free, page_bytes = (
            int(conn.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size")
        )
        needed = (pages - free) * page_bytes + SPARE_BYTES
        room = os.statvfs(os.path.dirname(self._target))
        if room.f_bavail * room.f_frsize < needed:
            raise _too_little_room(self._target, needed)


def _too_little_room(target: str, needed: int | None) -> RequestError:
    much = "" if needed is None else f" of {format_size(needed)}"
    return RequestError(
        "storage_full",
        f"the copy needs room{much} in {os.path.dirname(target)}, and there is too little: free some space and repeat it",
    )
