"""The database itself refuses what the code must never do, and answers by the index that was made for it."""

from __future__ import annotations

import sqlite3
from itertools import product

import pytest

from supervisor import store
from supervisor.core.state import TRANSITIONS, JobState
from supervisor.store.claim import BEST_OF_PAIR
from supervisor.store.jobs import DUE_BY
from supervisor.store.reads import NEXT_DUE
from tests.store.making import EXIT_1, claimed, do, new_job, settle, submit

FINAL = ("completed", "failed", "cancelled")
FITTING = {
    state: f"state = '{state}'"
    + (", finished_us = 9, reason = " + {"completed": "'ok'", "failed": "'exit'", "cancelled": "'cancelled'"}[state]
       if state in FINAL else ", finished_us = NULL")
    + (", lease = 7, attempt = 1, started_us = 5" if state == "running" else ", lease = NULL")
    for state in map(str, JobState)
}  # fmt: skip
RUNNING_NOW = "INSERT INTO attempts (job, number, worker, incarnation, state, started_us) VALUES"
PATHS = {
    "queued": [],
    "scheduled": ["running", "scheduled"],
    "running": ["running"],
    "completed": ["running", "completed"],
    "failed": ["running", "failed"],
    "cancelled": ["cancelled"],
}


@pytest.mark.parametrize(("before", "after"), list(product(map(str, JobState), repeat=2)))
def test_a_job_moves_only_as_the_table_of_transitions_says(conn: store.Writer, before: str, after: str) -> None:
    job = submit(conn, 1)
    for state in PATHS[before]:
        conn.execute(f"UPDATE jobs SET {FITTING[state]} WHERE id = ?", (job,))
    allowed = {(str(state), str(to)) for (state, _cue), to in TRANSITIONS.items()}
    move = f"UPDATE jobs SET {FITTING[after]} WHERE id = ?"
    if before == after or (before, after) in allowed:
        conn.execute(move, (job,))
        assert store.counts(conn)[after] == 1
    else:
        with pytest.raises(sqlite3.IntegrityError, match="cannot move this way"):
            conn.execute(move, (job,))
        assert store.counts(conn)[before] == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE jobs SET state = 'asleep' WHERE id = 1",
        "UPDATE jobs SET state = 'running' WHERE id = 1",
        "UPDATE jobs SET lease = 5 WHERE id = 1",
        "UPDATE jobs SET lease = NULL WHERE id = 2",
        "UPDATE jobs SET finished_us = 5 WHERE id = 1",
        "UPDATE jobs SET finished_us = NULL WHERE id = 3",
        "UPDATE jobs SET reason = NULL WHERE id = 3",
        "UPDATE jobs SET cancel_requested = 1 WHERE id = 1",
        "UPDATE jobs SET cancel_requested = 2 WHERE id = 2",
        "UPDATE jobs SET priority = 1001 WHERE id = 1",
        "UPDATE jobs SET due_us = -1 WHERE id = 1",
        "UPDATE jobs SET due_us = 'soon' WHERE id = 1",
        "UPDATE jobs SET on_loss = 'shrug' WHERE id = 1",
        "UPDATE jobs SET request_id = 'request-2' WHERE id = 1",
        "DELETE FROM jobs WHERE id = 2",
        "UPDATE attempts SET message = 'rewritten' WHERE lease = 2",
        "UPDATE attempts SET state = 'running', reason = NULL, message = NULL, evidence = NULL, finished_us = NULL "
        "WHERE lease = 2",
        "UPDATE attempts SET state = 'ended' WHERE lease = 1",
        "UPDATE attempts SET reason = 'ok' WHERE lease = 1",
        "DELETE FROM attempts WHERE lease = 2",
        f"{RUNNING_NOW} (2, 2, '', '', 'running', 0)",
        f"{RUNNING_NOW} (3, 1, '', '', 'running', 0)",
        f"{RUNNING_NOW} (9, 1, '', '', 'running', 0)",
        "INSERT INTO attempts (job, number, worker, incarnation, state, started_us, finished_us, reason, message, "
        "evidence) VALUES (1, 1, 'w', 'w', 'ended', 1, 1, 'ok', 'x', 'exact')",
        "INSERT INTO contents (sha256, size, data) VALUES ('short', 1, x'00')",
        "INSERT INTO contents (sha256, size, data) VALUES (printf('%064d', 0), 2, x'00')",
        "INSERT INTO contents (sha256, size, data) VALUES (printf('%064d', 0), 262145, zeroblob(262145))",
        "INSERT INTO events (job, at_us, kind, state, data) VALUES (99, 1, 'x', 'queued', '{}')",
        "INSERT INTO results (job, value) VALUES (99, '1')",
        "UPDATE counters SET n = -1",
    ],
)  # fmt: skip
def test_a_wrong_row_is_refused(conn: store.Writer, statement: str) -> None:
    queued, running, ended = submit(conn, 1, priority=-1), submit(conn, 2, priority=5), submit(conn, 3)
    assert (claimed(conn).job, claimed(conn).job) == (running, ended)
    settle(conn, 2, EXIT_1)
    before = conn.execute("SELECT * FROM jobs").fetchall()
    with pytest.raises(sqlite3.IntegrityError):
        conn.execute(statement)
    assert conn.execute("SELECT * FROM jobs").fetchall() == before
    assert (queued, store.counts(conn)["failed"]) == (1, 1)


def test_a_new_job_is_queued_or_scheduled(conn: store.Writer) -> None:
    submit(conn, 1)
    with pytest.raises(sqlite3.IntegrityError, match="begins queued or scheduled"):
        conn.execute(
            """
            INSERT INTO jobs (request_id, request_hash, owner_uid, name, type, queue, priority, state, due_us,
                              submitted_us, finished_us, reason, retries, on_loss, spec)
            SELECT 'x', '', 0, '', 'node', 'default', 0, 'failed', 0, 0, 1, 'exit', 0, 'fail', '{}'
            """
        )


def test_a_job_that_goes_takes_everything_of_it_along(conn: store.Writer) -> None:
    job = submit(conn, 1)
    settle(conn, claimed(conn).lease, EXIT_1)
    conn.execute("DELETE FROM jobs WHERE id = ?", (job,))
    for table in ("attempts", "events", "results"):
        assert conn.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    assert store.counts(conn)["failed"] == 0
    submit(conn, 2)
    assert claimed(conn).lease == 2
    assert store.last_event_id(conn) == 5


def _plan(conn: store.Writer, sql: str, values: object = ()) -> str:
    return " / ".join(row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall())  # type: ignore[call-overload]


def test_a_claim_seeks_in_its_index_alone(conn: store.Writer) -> None:
    plan = _plan(conn, BEST_OF_PAIR, ("default", "node", 1))
    assert plan == "SEARCH jobs USING INDEX jobs_claim (queue=? AND type=?)"


def _steps_of_a_claim(conn: store.Writer) -> int:
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    conn.set_progress_handler(count, 1)
    lease = claimed(conn, types=["node"])
    conn.set_progress_handler(None, 0)
    settle(conn, lease.lease)
    return steps


def test_a_claim_costs_the_same_behind_others_and_scheduled_ones(conn: store.Writer) -> None:
    for number in range(3):
        submit(conn, number)
    _steps_of_a_claim(conn)
    alone = _steps_of_a_claim(conn)
    others = [new_job(n, type="python", priority=9) for n in range(1000, 3000)]
    later = [new_job(n, priority=9, due_us=10**15) for n in range(3000, 5000)]
    store.run_batch(conn, 5, [lambda tx, job=job: store.submit(tx, job) for job in (*others, *later)])
    assert store.counts(conn)["scheduled"] == 2000
    assert _steps_of_a_claim(conn) <= alone + 20


RUNNING_OF = "SELECT lease FROM attempts WHERE state = 'running' AND incarnation = 'w' ORDER BY lease"
INCARNATIONS = "SELECT DISTINCT incarnation FROM attempts WHERE state = 'running' ORDER BY 1"
EVENTS_OF = "SELECT id FROM events WHERE job = 5 AND id > 7 ORDER BY id LIMIT 5"
IN_STATE = "SELECT id FROM jobs INDEXED BY jobs_state WHERE state = 'failed' AND id < 9 ORDER BY id DESC"


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        (DUE_BY.replace("?", "5"), "jobs_due"),
        (NEXT_DUE, "jobs_due"),
        (RUNNING_OF, "attempts_incarnation"),
        (INCARNATIONS, "attempts_incarnation"),
        (EVENTS_OF, "events_job"),
        (IN_STATE, "jobs_state"),
    ],
)
def test_each_question_has_its_index(conn: store.Writer, sql: str, index: str) -> None:
    plan = _plan(conn, sql)
    assert index in plan
    assert "TEMP B-TREE" not in plan


def test_delivery_of_a_due_job_goes_through_its_state(conn: store.Writer) -> None:
    job = submit(conn, 1, due_us=5000)
    do(conn, 6000, store.promote_due)
    assert claimed(conn).job == job
