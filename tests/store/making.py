"""Jobs, outcomes and single calls for the tests of the store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from supervisor import store
from supervisor.core.job import Content, JobSpec
from supervisor.core.outcome import Outcome
from supervisor.wire.lease import Lease

T = TypeVar("T")

SHA = "a" * 64
SPEC = JobSpec(main="file.js", contents=(Content(path="file.js", sha256=SHA, size=3),), env={"KEY": "secret"})
OK = Outcome(reason="ok", message="completed", exit_code=0, wall_s=0.25, cpu_s=0.125, stdout_bytes=7)
EXIT_1 = Outcome(reason="exit", message="exited with code 1", exit_code=1)
INTERRUPTED = Outcome(reason="interrupted", message="ended because the supervisor was shutting down")
CANCELLED = Outcome(reason="cancelled", message="cancelled while it ran", signal="SIGTERM", retryable=False)
STUCK = Outcome(reason="stuck", message="hangs", retryable=False)


def new_job(number: int, **changes: Any) -> store.NewJob:
    fields: dict[str, Any] = {
        "request_id": f"request-{number}",
        "request_hash": "hash",
        "owner_uid": 1000,
        "name": "file.js",
        "type": "node",
        "queue": "default",
        "priority": 0,
        "retries": 0,
        "on_loss": "requeue",
        "spec": SPEC,
        "inline": {SHA: b"abc"},
    }
    return store.NewJob(**{**fields, **changes})


def do(conn: sqlite3.Connection, now_us: int, call: Callable[[store.Tx], T]) -> T:
    """One call in one batch; what it raises is raised here."""
    (result,), _events = store.run_batch(conn, now_us, [call])
    if isinstance(result, Exception):
        raise result
    return result


def submit(conn: sqlite3.Connection, number: int, now_us: int = 1000, **changes: Any) -> int:
    job, *_ = do(conn, now_us, lambda tx: store.submit(tx, new_job(number, **changes)))
    return job


def claim(conn: sqlite3.Connection, now_us: int = 2000, **changes: Any) -> Lease | None:
    asked: dict[str, Any] = {"types": ["node"], "queues": None, "worker": "scripts/1", "incarnation": "w1"}
    return do(conn, now_us, lambda tx: store.claim(tx, **{**asked, **changes}))


def claimed(conn: sqlite3.Connection, now_us: int = 2000, **changes: Any) -> Lease:
    lease = claim(conn, now_us, **changes)
    assert lease is not None
    return lease


def settle(
    conn: sqlite3.Connection, lease: int, outcome: Outcome = OK, now_us: int = 3000, **changes: Any
) -> store.Settled_:
    said: dict[str, Any] = {
        "lease": lease,
        "incarnation": "w1",
        "outcome": outcome,
        "isolation": "namespace",
        "result": None,
        "progress": None,
        "dice": 0.5,
    }
    return do(conn, now_us, lambda tx: store.settle(tx, **{**said, **changes}))


def state(conn: sqlite3.Connection, job: int) -> str:
    return store.states_of(conn, [job])[job]
