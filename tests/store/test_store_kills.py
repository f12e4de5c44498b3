"""SIGKILL of a writing process at any moment loses nothing that it acknowledged, and leaves a sound database."""

from __future__ import annotations

import os
import random
import select
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor import store
from supervisor.store import db
from supervisor.store.migrations import CURRENT_VERSION, MIGRATIONS, Migration, migrate, version_of
from tests.store.making import EXIT_1, INTERRUPTED, OK, new_job

KILLS = 40
V1 = Path(__file__).parent / "fixtures" / "v1.db"


def _write_until_killed(path: str, acks: int, seed: int) -> None:
    """Submits, claims and settles in batches; tells each request and each settled lease only after its commit."""
    dice = random.Random(seed)
    conn = store.open_writer(path)
    for round_number in range(10_000):
        names = [seed * 1_000_000 + round_number * 50 + k for k in range(dice.randint(1, 40))]
        submits = [lambda tx, n=n: store.submit(tx, new_job(n, priority=n % 3)) for n in names]
        told = [f"request-{n}" for n in names]
        results, _events = store.run_batch(conn, round_number, [*submits, *[_one_run(dice.random())] * 10])
        told += [f"lease-{result}" for result in results[len(names) :] if isinstance(result, int)]
        os.write(acks, "".join(word + "\n" for word in told).encode())
        store.checkpoint(conn, idle=dice.random() < 0.1)


def _one_run(dice: float) -> Callable[[store.Tx], int | None]:
    def call(tx: store.Tx) -> int | None:
        lease = store.claim(tx, types=["node"], queues=None, worker="w", incarnation="w")
        if lease is None:
            return None
        outcome = (OK, EXIT_1, INTERRUPTED)[int(dice * 3)]
        store.settle(
            tx,
            lease=lease.lease,
            incarnation="w",
            outcome=outcome,
            isolation="plain",
            result=None,
            progress=None,
            dice=dice,
        )
        return lease.lease

    return call


def _open_and_wait(path: str, acks: int, seed: int) -> None:
    store.open_writer(path)
    time.sleep(60)


def _killed_after(
    path: str, seed: int, first_ack: bool, wait_s: float, work: Callable[[str, int, int], None] = _write_until_killed
) -> list[str]:
    """What a child acknowledged that works from its start, or its first acknowledgement, until it is killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            work(path, writing, seed)
        finally:
            os._exit(1)
    os.close(writing)
    if first_ack:
        assert select.select([reading], [], [], 30)[0]
    deadline = time.monotonic() + wait_s
    told = b""
    while (left := deadline - time.monotonic()) > 0:
        if select.select([reading], [], [], left)[0]:
            told += os.read(reading, 1 << 16)
    os.kill(child, signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    while piece := os.read(reading, 1 << 16):
        told += piece
    os.close(reading)
    return [line for line in told.decode().splitlines(keepends=True) if line.endswith("\n")]


def _check(conn: store.Writer) -> None:
    counted = dict(conn.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall())
    assert {state: n for state, n in store.counts(conn).items() if n} == counted
    assert conn.execute("PRAGMA quick_check").fetchall() == [("ok",)]
    assert conn.execute("PRAGMA foreign_key_check").fetchall() == []
    told = conn.execute("SELECT job, state, max(id) FROM events GROUP BY job ORDER BY job").fetchall()
    assert [row[:2] for row in told] == conn.execute("SELECT id, state FROM jobs ORDER BY id").fetchall()


def test_no_acknowledged_submit_or_settle_is_lost(path: str) -> None:
    dice = random.Random(7)
    acknowledged: set[str] = set()
    for seed in range(KILLS):
        acknowledged |= {line.strip() for line in _killed_after(path, seed, True, dice.uniform(0, 0.03))}
        conn = store.open_writer(path)
        known = {row[0] for row in conn.execute("SELECT request_id FROM jobs").fetchall()}
        ended = conn.execute("SELECT lease FROM attempts WHERE state = 'ended'").fetchall()
        known |= {f"lease-{lease}" for (lease,) in ended}
        assert acknowledged <= known
        if seed % 8 == 0:
            _check(conn)
        conn.close()
    conn = store.open_writer(path)
    _check(conn)
    conn.close()
    assert len(acknowledged) > KILLS


@pytest.mark.parametrize("seed", range(25))
def test_a_kill_while_the_database_is_created_leaves_all_or_nothing(path: str, seed: int) -> None:
    _killed_after(path, seed, False, random.Random(seed).uniform(0.0005, 0.02))
    conn = store.open_writer(path)
    _check(conn)
    conn.close()
    assert not Path(path + ".new").exists()


@pytest.mark.parametrize("seed", range(15))
def test_a_kill_while_the_database_is_migrated_leaves_the_old_or_the_new_one(
    path: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(V1, path)
    step = Migration(
        CURRENT_VERSION + 1, ("ALTER TABLE jobs ADD COLUMN colour TEXT", "CREATE INDEX jobs_colour ON jobs (colour)")
    )
    monkeypatch.setattr(db, "CURRENT_VERSION", step.version)
    monkeypatch.setattr(db, "migrate", lambda conn: migrate(conn, (*MIGRATIONS, step)))
    _killed_after(path, seed, False, random.Random(seed).uniform(0.002, 0.02), _open_and_wait)
    conn = store.open_writer(path)
    assert version_of(conn) == step.version
    assert store.states_of(conn, range(1, 7)) == {
        1: "completed", 2: "failed", 3: "cancelled", 4: "scheduled", 5: "running", 6: "queued"
    }  # fmt: skip
    _check(conn)
    conn.close()
