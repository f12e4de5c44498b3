"""Databases of every released version open with this release, and a migration is all or nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from hashlib import sha256
from pathlib import Path

import pytest

from supervisor import store
from supervisor.core.errors import SchemaError, StorageError
from supervisor.store import db, migrations
from supervisor.store.inspection import schema_of
from supervisor.store.migrations import CURRENT_VERSION, MIGRATIONS, Migration, migrate, version_of
from tests.store.making import claimed, do, settle, state, submit

V1 = Path(__file__).parent / "fixtures" / "v1.db"
NEXT_VERSION = CURRENT_VERSION + 1
NEXT = Migration(NEXT_VERSION, ("ALTER TABLE jobs ADD COLUMN colour TEXT", "CREATE INDEX jobs_colour ON jobs (colour)"))
BROKEN = Migration(NEXT_VERSION, ("ALTER TABLE jobs ADD COLUMN colour TEXT", "INSERT INTO nowhere VALUES (1)"))
DANGLING = Migration(
    NEXT_VERSION, ("CREATE TABLE notes (job INTEGER REFERENCES jobs (id))", "INSERT INTO notes (job) VALUES (77)")
)


@pytest.fixture
def old_path(path: str) -> str:
    shutil.copy(V1, path)
    os.chmod(path, 0o600)
    return path


def _next_release(monkeypatch: pytest.MonkeyPatch, step: Migration) -> None:
    monkeypatch.setattr(db, "CURRENT_VERSION", step.version)
    monkeypatch.setattr(db, "migrate", lambda conn: migrate(conn, (*MIGRATIONS, step)))


def test_the_steps_are_numbered_without_a_gap() -> None:
    assert [step.version for step in MIGRATIONS] == list(range(1, CURRENT_VERSION + 1))


def test_a_database_of_version_1_has_the_schema_of_a_new_one(old_path: str, tmp_path: Path) -> None:
    new = store.open_writer(str(tmp_path / "new.db"))
    old = store.open_writer(old_path)
    assert schema_of(old) == schema_of(new)
    assert version_of(old) == CURRENT_VERSION
    new.close()
    old.close()


def test_a_database_of_version_1_loads_and_goes_on(old_path: str) -> None:
    conn = store.open_writer(old_path)
    assert store.counts(conn) == dict.fromkeys(
        ("scheduled", "queued", "running", "completed", "failed", "cancelled"), 1
    )
    completed = store.job_view(conn, 1)
    assert completed is not None
    assert (completed["result"], completed["progress"]["percentage"]) == ({"pages": 3}, 100)
    assert store.running_incarnations(conn) == ["w1"]
    lost = do(
        conn, 10**6, lambda tx: store.lose(tx, incarnation="w1", reason="host_lost", message="gone", started=None)
    )
    assert (lost, state(conn, 5)) == ([5], "queued")
    do(conn, 10**7, store.promote_due)
    assert [claimed(conn, types=["node", "python"], incarnation=f"w{n}").job for n in range(3)] == [5, 6, 4]
    assert submit(conn, 6, queue="other", type="python") == 6
    assert submit(conn, 7) == 7
    assert settle(conn, store.attempt_of(conn, 5, None).lease, incarnation="w0").state == "completed"  # type: ignore[union-attr]
    assert conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    conn.close()


def test_an_older_database_is_backed_up_and_migrated(old_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _next_release(monkeypatch, NEXT)
    umask = os.umask(0)
    try:
        conn = store.open_writer(old_path)
    finally:
        os.umask(umask)
    assert version_of(conn) == NEXT_VERSION
    assert "jobs_colour" in schema_of(conn)
    assert state(conn, 1) == "completed"
    conn.close()
    backup = old_path + ".v1.backup"
    assert stat.S_IMODE(os.stat(backup).st_mode) == 0o600
    assert not os.path.exists(backup + ".partial")
    monkeypatch.undo()
    with pytest.raises(SchemaError, match=f"version {NEXT_VERSION}"):
        store.open_writer(old_path)
    restored = store.open_writer(backup)
    assert store.counts(restored)["running"] == 1
    restored.close()


@pytest.mark.parametrize("step", [BROKEN, DANGLING], ids=["error", "dangling"])
def test_a_migration_that_fails_changes_nothing(
    old_path: str, monkeypatch: pytest.MonkeyPatch, step: Migration
) -> None:
    _next_release(monkeypatch, step)
    for _ in range(2):
        with pytest.raises(StorageError):
            store.open_writer(old_path)
    monkeypatch.undo()
    conn = store.open_writer(old_path)
    assert version_of(conn) == CURRENT_VERSION
    assert "colour" not in schema_of(conn)["jobs"]
    assert "notes" not in schema_of(conn)
    conn.close()


def test_no_migration_without_its_backup(old_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _next_release(monkeypatch, NEXT)
    os.mkdir(old_path + ".v1.backup.partial")
    with pytest.raises(StorageError):
        store.open_writer(old_path)
    conn = sqlite3.connect(old_path)
    assert version_of(conn) == 1
    conn.close()


def test_opening_a_current_database_changes_no_byte_of_it(old_path: str) -> None:
    store.open_writer(old_path).close()
    before = sha256(Path(old_path).read_bytes()).digest()
    store.open_writer(old_path).close()
    assert sha256(Path(old_path).read_bytes()).digest() == before


def test_a_creation_that_fails_leaves_no_database(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "migrate", lambda conn: migrate(conn, (BROKEN,)))
    with pytest.raises(StorageError):
        store.open_writer(path)
    assert not os.path.exists(path)
    monkeypatch.undo()
    store.open_writer(path).close()


def test_no_way_to_a_statement_that_commits_by_itself() -> None:
    for module in Path(migrations.__file__).parent.glob("*.py"):
        text = module.read_text()
        for never in ("executescript", "pickle", 'BEGIN"', "executemany"):
            assert never not in text, f"{never} in {module.name}"
