"""A large queue: the cost of a claim, of `status` and `list`, and of a start, beside a million finished jobs.

The rows are written straight into the database of a stopped daemon, with the triggers off while they are: the
product would take minutes to run a million jobs. `counters` and the triggers are put back as they were.
"""

from __future__ import annotations

import pathlib
import sqlite3
import time
from collections.abc import Iterator

from benchmarks.figure import Line, at_most, median, ms
from benchmarks.place import folder
from supervisor import store
from supervisor.core.outcome import Outcome
from tests.harness import Daemon, running_daemon

CYCLES = 400
LOOKS = 50
OK = Outcome(reason="ok", message="completed", exit_code=0)


def measure() -> Iterator[Line]:
    """Claim and settle, status and list, start."""
    with folder() as place:
        small = _filled(place / "small", queued=1_000, finished=0)
        large = _filled(place / "large", queued=1_000_000, finished=1_000_000)
        few, many = cycle_s(small), cycle_s(large)
        yield at_most(
            "claim + settle at 1e6 queued and 1e6 finished against 1e3 and 0",
            many / few,
            1.3,
            f"{many * 1e6:.0f} us against {few * 1e6:.0f} us, synchronous=FULL, one a transaction",
        )
        with running_daemon(large.folder, 'log.level = "warning"\n[pools.scripts]\nreplicas = 0\n') as daemon:
            yield from _looks(daemon)
        middle = _filled(place / "middle", queued=100_000, finished=1_000_000)
        yield _start(middle)


def cycle_s(daemon: Daemon) -> float:
    """Median seconds of one claim and one settle, each a transaction of its own."""
    conn = store.open_writer(str(daemon.state / "queue.db"))
    try:
        times = [_one_cycle(conn) for _ in range(CYCLES)]
    finally:
        conn.close()
    return median(times)


def _one_cycle(conn: store.Writer) -> float:
    began = time.perf_counter()
    ((lease,), _) = store.run_batch(
        conn, _now_us(), [lambda tx: store.claim(tx, types=["node"], queues=None, worker="w/1", incarnation="i-1")]
    )
    store.run_batch(
        conn,
        _now_us(),
        [
            lambda tx: store.settle(
                tx,
                lease=lease.lease,
                incarnation="i-1",
                outcome=OK,
                isolation="plain",
                result=None,
                progress=None,
                dice=0.5,
            )
        ],
    )
    took = time.perf_counter() - began
    store.checkpoint(conn, idle=False)
    return took


def _looks(daemon: Daemon) -> Iterator[Line]:
    with daemon.client() as client:
        client.status()
        for what, look in (("status", client.status), ("list, first page", lambda: client.list(limit=50))):
            times = []
            for _ in range(LOOKS):
                began = time.perf_counter()
                look()
                times.append(time.perf_counter() - began)
            yield at_most(
                f"{what} at 1e6 + 1e6 rows", 1000 * median(times), 20, f"over the socket, worst {ms(max(times))}", "ms"
            )


def _start(daemon: Daemon) -> Line:
    times = []
    for _ in range(5):
        began = time.perf_counter()
        daemon.start()
        with daemon.client() as client:
            client.status()
        times.append(time.perf_counter() - began)
        daemon.stop()
    daemon.clean()
    return at_most(
        "worker-supervisor start to first answer, 1e5 queued + 1e6 finished", median(times), 1.0, "median of 5", "s"
    )


def _now_us() -> int:
    return time.time_ns() // 1000


def _filled(place: pathlib.Path, queued: int, finished: int) -> Daemon:
    """A stopped daemon's folder with so many jobs."""
    daemon = Daemon(place)
    daemon.start()
    daemon.stop()
    conn = sqlite3.connect(daemon.state / "queue.db", isolation_level=None)
    try:
        triggers = conn.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            conn.execute(f"DROP TRIGGER {name}")
        conn.execute("BEGIN")
        _insert(conn, 1, finished, "completed")
        _insert(conn, finished + 1, queued, "queued")
        conn.execute("DELETE FROM counters")
        conn.execute("INSERT INTO counters (state, queue, n) SELECT state, queue, count(*) FROM jobs GROUP BY 1, 2")
        conn.execute("COMMIT")
        for _, sql in triggers:
            conn.execute(sql)
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        conn.close()
    return daemon


def _insert(conn: sqlite3.Connection, first: int, count: int, state: str) -> None:
    if count == 0:
        return
    now = _now_us()
    done = state == "completed"
    conn.execute(
        """
        WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last)
        INSERT INTO jobs (id, request_id, request_hash, owner_uid, name, type, queue, priority, state, due_us,
                          submitted_us, started_us, finished_us, retries, on_loss, attempt, reason, message, exit_code, spec)
        SELECT i, 'benchmark-' || i, 'x', 0, 'hello.js', 'node', 'default', 0, :state, :now - 1000000000 + i,
               :now - 1000000000 + i, iif(:done, :now, NULL), iif(:done, :now + i, NULL), 0, 'requeue', :done,
               iif(:done, 'ok', NULL), iif(:done, 'completed', NULL), iif(:done, 0, NULL), '{"main":"hello.js"}'
        FROM n
        """,
        {"first": first, "last": first + count - 1, "state": state, "now": now, "done": int(done)},
    )
    if done:
        conn.execute(
            """
            INSERT INTO attempts (job, number, worker, incarnation, state, isolation, reason, message, evidence,
                                  exit_code, started_us, finished_us, wall_s, cpu_s, peak_memory_bytes)
            SELECT id, 1, 'scripts/1', 'b-1', 'ended', 'plain', 'ok', 'completed', 'exact', 0, started_us, finished_us,
                   0.03, 0.02, 40000000 FROM jobs WHERE state = 'completed'
            """
        )
