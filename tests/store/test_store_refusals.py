"""A database that is newer, foreign, damaged or empty is refused and stays byte-identical."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from supervisor import store
from supervisor.core.errors import SchemaError, StorageError
from supervisor.store.inspection import query
from supervisor.store.migrations import CURRENT_VERSION
from tests.store.making import submit


def _filled(path: str) -> None:
    conn = store.open_writer(path)
    for number in range(50):
        submit(conn, number)
    conn.close()


def _by_sqlite(path: str, *statements: str) -> None:
    conn = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        conn.execute(statement)
    conn.close()


def _overwrite(path: str, offset: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def _newer(path: str) -> None:
    _filled(path)
    _by_sqlite(path, "PRAGMA user_version = 999")


def _newer_in_its_log(path: str) -> None:
    _filled(path)
    conn = sqlite3.connect(path, isolation_level=None)
    conn.execute("PRAGMA user_version = 999")
    for suffix in ("", "-wal"):
        shutil.copy(path + suffix, path + ".copy" + suffix)
    conn.close()
    for suffix in ("", "-wal"):
        os.replace(path + ".copy" + suffix, path + suffix)


def _foreign(path: str) -> None:
    _by_sqlite(path, "CREATE TABLE photos (id INTEGER)")


def _no_version(path: str) -> None:
    _filled(path)
    _by_sqlite(path, "PRAGMA user_version = 0")


def _without_a_guard(path: str) -> None:
    _filled(path)
    _by_sqlite(path, "DROP TRIGGER attempts_final")


def _without_an_index(path: str) -> None:
    _filled(path)
    _by_sqlite(path, "DROP INDEX jobs_claim")


def _truncated(path: str) -> None:
    _filled(path)
    os.truncate(path, os.stat(path).st_size // 2)


def _cut_in_a_page(path: str) -> None:
    _filled(path)
    os.truncate(path, os.stat(path).st_size - 100)


def _cut_in_its_header(path: str) -> None:
    _filled(path)
    os.truncate(path, 50)


def _garbage(path: str) -> None:
    Path(path).write_bytes(b"\x93garbage" * 4096)


def _garbage_in_the_middle(path: str) -> None:
    _filled(path)
    _overwrite(path, 4096 * 3, b"\x93garbage" * 2048)


def _garbage_header(path: str) -> None:
    _filled(path)
    _overwrite(path, 0, b"\x00" * 100)


def _empty(path: str) -> None:
    Path(path).touch()


def _folder(path: str) -> None:
    os.mkdir(path)


def _dangling_link(path: str) -> None:
    os.symlink("/nowhere/at/all", path)


def _interrupt_a_write(path: str) -> None:
    """The files as a kill leaves them that comes in the middle of a write without a write-ahead log."""
    conn = sqlite3.connect(path, isolation_level=None)
    conn.execute("PRAGMA journal_mode = DELETE").fetchall()
    conn.execute("CREATE TABLE IF NOT EXISTS junk (data BLOB)")
    conn.execute("PRAGMA cache_size = 1")
    conn.execute("BEGIN IMMEDIATE")
    conn.execute("UPDATE jobs SET name = 'changed'")
    for _ in range(200):
        conn.execute("INSERT INTO junk (data) VALUES (randomblob(3000))")
    for suffix in ("", "-journal"):
        shutil.copy(path + suffix, path + ".copy" + suffix)
    conn.close()
    for suffix in ("", "-journal"):
        os.replace(path + ".copy" + suffix, path + suffix)
    assert os.stat(path + "-journal").st_size > 0


def _foreign_and_interrupted(path: str) -> None:
    _by_sqlite(path, "CREATE TABLE jobs (name TEXT)")
    _interrupt_a_write(path)


def _newer_and_interrupted(path: str) -> None:
    _newer(path)
    _interrupt_a_write(path)


REFUSED = [
    _newer,
    _newer_in_its_log,
    _foreign,
    _no_version,
    _without_a_guard,
    _without_an_index,
    _truncated,
    _cut_in_a_page,
    _cut_in_its_header,
    _garbage,
    _garbage_in_the_middle,
    _garbage_header,
    _empty,
    _foreign_and_interrupted,
    _newer_and_interrupted,
]


def _digests(path: str) -> dict[str, str]:
    return {
        suffix: sha256(Path(path + suffix).read_bytes()).hexdigest()
        for suffix in ("", "-wal", "-journal")
        if os.path.exists(path + suffix) and os.stat(path + suffix).st_size > 0
    }


@pytest.mark.parametrize("spoil", REFUSED, ids=lambda spoil: spoil.__name__.strip("_"))
def test_an_unusable_database_is_refused_and_left_as_it_is(path: str, spoil: Callable[[str], None]) -> None:
    spoil(path)
    before = _digests(path)
    for _ in range(2):
        with pytest.raises(SchemaError):
            store.open_writer(path)
    assert _digests(path) == before


def test_a_folder_in_its_place_is_refused(path: str) -> None:
    _folder(path)
    with pytest.raises(SchemaError, match="not a regular file"):
        store.open_writer(path)


def test_a_dangling_link_in_its_place_creates_nothing(path: str) -> None:
    _dangling_link(path)
    with pytest.raises(StorageError):
        store.open_writer(path)


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_a_log_without_its_database_is_never_replayed_into_a_new_one(path: str, suffix: str) -> None:
    Path(path + suffix).write_bytes(b"the last jobs of a lost database")
    with pytest.raises(SchemaError, match="is there but"):
        store.open_writer(path)
    assert not os.path.exists(path)
    assert Path(path + suffix).read_bytes() == b"the last jobs of a lost database"


def test_a_missing_folder_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        store.open_writer(str(tmp_path / "missing" / "queue.db"))


def test_a_reader_creates_nothing(path: str) -> None:
    with pytest.raises(StorageError):
        store.open_reader(path)
    assert not os.path.exists(path)


def test_a_reader_cannot_write(conn: store.Writer, reader: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM jobs")


def test_every_file_is_for_its_owner_alone_whatever_the_umask(path: str) -> None:
    umask = os.umask(0)
    try:
        conn = store.open_writer(path)
        submit(conn, 1)
    finally:
        os.umask(umask)
    for suffix in ("", "-wal", "-shm"):
        assert stat.S_IMODE(os.stat(path + suffix).st_mode) == 0o600
    conn.close()


def test_what_a_crash_left_of_a_creation_is_cleared_away(path: str) -> None:
    Path(path + ".new").write_bytes(b"half of a database")
    for suffix in ("-journal", "-wal", "-shm"):
        Path(path + ".new" + suffix).write_bytes(b"half of a journal")
    conn = store.open_writer(path)
    assert submit(conn, 1) == 1
    conn.close()
    for suffix in ("", "-journal", "-wal", "-shm"):
        assert not os.path.exists(path + ".new" + suffix)


def test_a_write_that_was_interrupted_before_there_was_a_log_is_undone(path: str) -> None:
    _filled(path)
    _interrupt_a_write(path)
    conn = store.open_writer(path)
    assert store.counts(conn)["queued"] == 50
    assert query(conn, "SELECT DISTINCT name FROM jobs") == [{"name": "file.js"}]
    assert query(conn, "SELECT * FROM junk") == []
    conn.close()
    assert not os.path.exists(path + "-journal")


def test_a_path_with_strange_characters_is_one_path(tmp_path: Path) -> None:
    path = str(tmp_path / "a?mode=memory&b#c%41 ü.db")
    conn = store.open_writer(path)
    submit(conn, 1)
    reader = store.open_reader(path)
    assert store.counts(reader)["queued"] == 1
    reader.close()
    conn.close()


def test_the_writer_has_the_durable_settings(conn: store.Writer) -> None:
    wanted = {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "trusted_schema": 0,
        "cell_size_check": 1,
        "temp_store": 2,
        "busy_timeout": 5000,
        "wal_autocheckpoint": 0,
        "auto_vacuum": 2,
        "application_id": 0x574B4354,
        "user_version": CURRENT_VERSION,
    }
    assert {name: conn.execute(f"PRAGMA {name}").fetchone()[0] for name in wanted} == wanted
