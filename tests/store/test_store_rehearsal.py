"""Before an upgrade: whether a release could take over a database, found out beside the one that uses it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from supervisor import store
from supervisor.core.errors import SchemaError, StorageError
from supervisor.store import migrations, rehearsal
from supervisor.store.migrations import CURRENT_VERSION, MIGRATIONS, Migration, migrate
from tests.store.making import state, submit

NEXT = Migration(CURRENT_VERSION + 1, ("ALTER TABLE jobs ADD COLUMN colour TEXT",))
BROKEN = Migration(CURRENT_VERSION + 1, ("INSERT INTO nowhere VALUES (1)",))
V1 = Path(__file__).parent / "fixtures" / "v1.db"


def _next_release(monkeypatch: pytest.MonkeyPatch, step: Migration) -> None:
    monkeypatch.setattr(rehearsal, "CURRENT_VERSION", step.version)
    monkeypatch.setattr(rehearsal, "migrate", lambda conn: migrate(conn, (*MIGRATIONS, step)))


def _files(path: str) -> set[str]:
    return set(os.listdir(os.path.dirname(path)))


def test_the_present_release_takes_its_own_database(path: str) -> None:
    writer = store.open_writer(path)
    assert store.rehearse(path) == (CURRENT_VERSION, CURRENT_VERSION)
    writer.close()


def test_no_database_yet_is_no_obstacle(path: str) -> None:
    assert store.rehearse(path) == (CURRENT_VERSION, CURRENT_VERSION)
    assert not os.path.exists(path)


def test_a_migration_is_tried_on_a_copy_while_the_database_is_being_written(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = store.open_writer(path)
    submit(writer, 1)
    before = _files(path)
    _next_release(monkeypatch, NEXT)
    writer.execute("BEGIN IMMEDIATE")
    assert store.rehearse(path) == (CURRENT_VERSION, CURRENT_VERSION + 1)
    writer.execute("ROLLBACK")
    assert submit(writer, 2) == 2
    assert migrations.version_of(writer) == CURRENT_VERSION
    assert state(writer, 1) == "queued"
    assert _files(path) == before
    writer.close()


def test_a_migration_that_would_fail_shows_and_leaves_nothing_behind(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = store.open_writer(path)
    before = _files(path)
    _next_release(monkeypatch, BROKEN)
    with pytest.raises(StorageError, match="nowhere"):
        store.rehearse(path)
    assert _files(path) == before
    writer.close()


def test_a_database_of_version_1_could_be_taken_over(path: str) -> None:
    shutil.copy(V1, path)
    before = Path(path).read_bytes()
    assert store.rehearse(path) == (1, CURRENT_VERSION)
    assert Path(path).read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"no database at all" * 1000], ids=["empty", "garbage"])
def test_what_is_no_database_of_ours_is_refused(path: str, content: bytes) -> None:
    Path(path).write_bytes(content)
    with pytest.raises(SchemaError):
        store.rehearse(path)
    assert Path(path).read_bytes() == content


def test_a_newer_database_is_refused(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = store.open_writer(path)
    writer.execute(f"PRAGMA user_version = {CURRENT_VERSION + 1}")
    with pytest.raises(SchemaError, match=f"version {CURRENT_VERSION + 1}"):
        store.rehearse(path)
    writer.close()
