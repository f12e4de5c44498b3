"""A batch: isolation of its calls, and what a failing storage makes of it."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from supervisor import store
from supervisor.core.errors import RequestError, StorageError
from supervisor.core.job import Content, JobSpec
from tests.store.making import claimed, do, new_job, settle, submit


def _submit(number: int, **changes: Any) -> Any:
    return lambda tx: store.submit(tx, new_job(number, **changes))


def _failing(error: Exception) -> Any:
    def call(tx: store.Tx) -> None:
        store.submit(tx, new_job(999))
        raise error

    return call


def _big(number: int, size: int) -> store.NewJob:
    sha = f"{number:064x}"
    spec = JobSpec(main="file.js", contents=(Content(path="file.js", sha256=sha, size=size),))
    return new_job(number, spec=spec, inline={sha: os.urandom(size)})


def test_a_failing_call_is_undone_alone(conn: store.Writer) -> None:
    refused, defect = RequestError("not_allowed", "no"), ValueError("a defect")
    results, events = store.run_batch(conn, 5, [_submit(1), _failing(refused), _failing(defect), _submit(2)])
    assert results[0] == (1, True, False)
    assert results[1:3] == [refused, defect]
    # The id of the undone job was never told to anybody and is given to the next one.
    assert results[3] == (2, True, False)
    assert [(event.id, event.job) for event in events] == [(1, 1), (2, 2)]
    assert store.counts(conn)["queued"] == 2
    assert not conn.in_transaction


def test_a_broken_constraint_is_the_calls_own_error(conn: store.Writer) -> None:
    results, events = store.run_batch(conn, 5, [_submit(1, priority=5000), _submit(2)])
    assert isinstance(results[0], sqlite3.IntegrityError)
    assert results[1] == (1, True, False)
    assert len(events) == 1


def test_an_empty_batch_is_fine(conn: store.Writer) -> None:
    assert store.run_batch(conn, 5, []) == ([], [])


def test_a_guard_that_misses_undoes_its_call(conn: store.Writer) -> None:
    def stale_write(tx: store.Tx) -> None:
        tx.change_one("UPDATE jobs SET priority = 5 WHERE id = ? AND state = 'running'", (1,))

    results, _events = store.run_batch(conn, 5, [_submit(1), stale_write])
    assert isinstance(results[1], store.GuardFailed)
    assert "hit 0 rows" in str(results[1])


def test_a_commit_that_fails_has_an_unknown_outcome(conn: store.Writer) -> None:
    def dangling(tx: store.Tx) -> None:
        tx.conn.execute("PRAGMA defer_foreign_keys = ON")
        tx.conn.execute("INSERT INTO results (job, value) VALUES (77, '1')")

    with pytest.raises(StorageError, match="FOREIGN KEY"):
        store.run_batch(conn, 5, [_submit(1), dangling])
    assert not conn.in_transaction
    assert store.counts(conn)["queued"] == 0


def test_another_writer_that_does_not_let_go_is_a_storage_error(conn: store.Writer, path: str) -> None:
    conn.execute("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="SQLITE_BUSY"):
        store.run_batch(conn, 5, [_submit(1)])
    other.close()
    assert do(conn, 5, _submit(1)) == (1, True, False)


@contextmanager
def _files_end_at(size: int) -> Iterator[None]:
    """Every write beyond `size` bytes of any file fails with EFBIG, which SQLite calls an I/O error."""
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("room", [0, 1000, 4096, 5000, 20_000, 70_001, 300_000])
def test_an_input_output_error_ends_the_trust_and_loses_nothing_acknowledged(path: str, room: int) -> None:
    conn = store.open_writer(path)
    acknowledged = []
    with _files_end_at(os.stat(path + "-wal").st_size + room), pytest.raises(StorageError, match="IOERR"):
        for number in range(200):
            results, _events = store.run_batch(conn, 5, [_submit(number)])
            acknowledged.append(results[0])
    conn.close()
    assert acknowledged or room < 70_000
    again = store.open_writer(path)
    known = store.counts(again)["queued"]
    assert len(acknowledged) <= known <= len(acknowledged) + 1
    assert again.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    again.close()


def test_a_full_database_stores_nothing_and_says_so(conn: store.Writer) -> None:
    pages = conn.execute("PRAGMA page_count").fetchone()[0]
    submit(conn, 1)
    lease = claimed(conn).lease
    conn.execute(f"PRAGMA max_page_count = {pages + 20}")
    calls = [_submit(2), _failing(RequestError("not_allowed", "no")), lambda tx: store.submit(tx, _big(3, 200_000))]
    results, events = store.run_batch(conn, 5, calls)
    assert [error.code for error in results if isinstance(error, RequestError)] == ["storage_full"] * 3
    assert events == []
    assert not conn.in_transaction
    assert (store.counts(conn)["queued"], store.last_event_id(conn)) == (0, 2)
    assert settle(conn, lease).state == "completed"


def test_a_checkpoint_that_fails_is_a_storage_error_and_loses_nothing(path: str) -> None:
    conn = store.open_writer(path)
    for number in range(30):
        do(conn, 5, lambda tx, n=number: store.submit(tx, _big(n, 20_000)))
    with _files_end_at(os.stat(path).st_size + 10_000), pytest.raises(StorageError, match="checkpoint"):
        store.checkpoint(conn, idle=True)
    assert store.counts(conn)["queued"] == 30
    done = store.checkpoint(conn, idle=True)
    assert done is not None
    assert not done.blocked
    conn.close()
    again = store.open_writer(path)
    assert store.counts(again)["queued"] == 30
    assert again.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    again.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or os.system(f"mount -t tmpfs -o size=2m tmpfs {folder} 2>/dev/null") != 0:
        pytest.skip("mounting a small disk needs root")
    yield folder
    os.system(f"umount {folder}")


def test_a_full_disk_gives_no_false_acknowledgement(small_disk: Path) -> None:
    reserve = small_disk / "reserve"
    reserve.write_bytes(b"\0" * 300_000)
    path = str(small_disk / "queue.db")
    conn = store.open_writer(path)
    running = submit(conn, 0)
    lease = claimed(conn).lease
    acknowledged = {running}
    refused = 0
    for number in range(1, 2000):
        size = 60_000 if refused == 0 else 100
        (answer,), _events = store.run_batch(conn, 5, [lambda tx, n=number, s=size: store.submit(tx, _big(n, s))])
        if isinstance(answer, RequestError):
            assert answer.code == "storage_full"
            refused += 1
            if refused > 20:
                break
        else:
            assert isinstance(answer, tuple)
            acknowledged.add(answer[0])
        checkpoint = store.checkpoint(conn, idle=number % 10 == 0)
        assert checkpoint is None or checkpoint.mode in ("PASSIVE", "TRUNCATE")
    assert refused > 20
    assert {row[0] for row in conn.execute("SELECT id FROM jobs").fetchall()} == acknowledged
    reserve.unlink()
    assert settle(conn, lease).state == "completed"
    conn.close()
    again = store.open_writer(path)
    assert {row[0] for row in again.execute("SELECT id FROM jobs").fetchall()} == acknowledged
    assert again.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    again.close()


def test_the_log_stays_small_and_shrinks_when_idle(conn: store.Writer) -> None:
    done: list[store.Checkpoint] = []
    for number in range(200):
        do(conn, 5, lambda tx, n=number: store.submit(tx, _big(n, 100_000)))
        checkpoint = store.checkpoint(conn)
        if checkpoint is not None:
            done.append(checkpoint)
        assert store.wal_bytes(conn) < 6 << 20
    assert len(done) >= 4
    assert all(checkpoint.mode == "PASSIVE" and not checkpoint.blocked for checkpoint in done)
    last = store.checkpoint(conn, idle=True)
    assert last is None or not last.blocked
    assert store.checkpoint(conn, idle=True) is None
    submit(conn, 1000)
    assert store.checkpoint(conn, idle=True) is not None
    assert store.checkpoint(conn, idle=True) is None


def test_a_reader_that_holds_the_log_neither_blocks_nor_is_blocked(conn: store.Writer, path: str) -> None:
    reader = store.open_reader(path)
    submit(conn, 1000)
    reader.execute("BEGIN")
    assert store.counts(reader)["queued"] == 1
    for number in range(100):
        do(conn, 5, lambda tx, n=number: store.submit(tx, _big(n, 100_000)))
        store.checkpoint(conn)
    assert store.wal_bytes(conn) > 8 << 20
    began_s = time.monotonic()
    blocked = store.checkpoint(conn, idle=True)
    assert blocked is not None
    assert time.monotonic() - began_s < 2, "it waited for the reader as long as the busy timeout"
    assert conn.execute("PRAGMA busy_timeout").fetchone() == (5000,)
    assert (blocked.mode, blocked.blocked) == ("TRUNCATE", True)
    assert store.counts(reader)["queued"] == 1
    reader.execute("COMMIT")
    assert store.counts(reader)["queued"] == 101
    freed = store.checkpoint(conn, idle=True)
    assert freed is not None
    assert (freed.mode, freed.blocked, store.wal_bytes(conn)) == ("TRUNCATE", False, 0)
    reader.close()
