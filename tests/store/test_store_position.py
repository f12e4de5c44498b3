"""Where a job stands in its line: counted as a worker would take them, within bounds, by the index alone."""

from __future__ import annotations

import random
import sqlite3

import pytest

from supervisor import store
from supervisor.core.job import JobSpec
from supervisor.core.retry import Backoff
from supervisor.store.position import BEFORE
from tests.store.making import EXIT_1, claimed, do, settle, submit


def place(conn: sqlite3.Connection, job: int) -> store.Place:
    return store.Place(*conn.execute("SELECT priority, due_us, id FROM jobs WHERE id = ?", (job,)).fetchone())


def test_the_count_is_the_number_of_claims_before_it(conn: store.Writer) -> None:
    dice = random.Random(7)
    jobs = [
        submit(
            conn,
            number,
            now_us=1000 + dice.randrange(3),
            priority=dice.choice([-1, 0, 5]),
            type=dice.choice(["node", "python"]),
            queue=dice.choice(["a", "b"]),
        )
        for number in range(40)
    ]
    everything = {"queues": ["a", "b"], "types": ["node", "python"], "most": 1000}
    counted = {job: store.jobs_before(conn, place(conn, job), **everything) for job in jobs}
    taken = [claimed(conn, types=["node", "python"]).job for _ in jobs]
    assert [counted[job] for job in taken] == list(range(len(jobs)))


def test_only_its_queues_and_types_count_and_never_more_than_asked(conn: store.Writer) -> None:
    for number in range(10):
        submit(conn, number)
    submit(conn, 10, queue="other")
    submit(conn, 11, type="python")
    submit(conn, 12, due_us=10**15)
    last = place(conn, submit(conn, 13))
    assert store.jobs_before(conn, last, queues=["default"], types=["node"], most=100) == 10
    assert store.jobs_before(conn, last, queues=["default", "other"], types=["node", "python"], most=100) == 12
    assert store.jobs_before(conn, last, queues=["default", "other"], types=["node", "python"], most=7) == 7
    assert store.jobs_before(conn, last, queues=[], types=["node"], most=7) == 0


def test_counting_seeks_and_never_scans(conn: store.Writer) -> None:
    asked = {"queue": "q", "type": "t", "priority": 0, "due_us": 1, "job": 1, "most": 5}
    plan = [row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {BEFORE}", asked).fetchall()]
    seeks = [step for step in plan if "jobs" in step]
    assert len(seeks) == 3
    assert all(step.startswith("SEARCH jobs USING INDEX jobs_claim (queue=? AND type=?") for step in seeks), plan


def test_the_standing_of_a_job(conn: store.Writer) -> None:
    spec = JobSpec(isolation="plain", backoff=Backoff(base_s=5.0))
    job = submit(conn, 1, retries=1, on_loss="fail", spec=spec, inline={})
    settle(conn, claimed(conn).lease, EXIT_1)
    standing = store.standing_of(conn, job)
    assert standing is not None
    assert (standing.failures, standing.losses, standing.on_loss) == (1, 0, "fail")
    assert (standing.isolation, standing.backoff, standing.started_us) == ("plain", Backoff(base_s=5.0), 2000)
    do(conn, 5000, lambda tx: store.cancel(tx, job, by_uid=3, reason="enough"))
    standing = store.standing_of(conn, job)
    assert standing is not None and (standing.cancelled_by, standing.cancel_reason) == (3, "enough")
    assert store.standing_of(conn, 99) is None


def test_a_checkup_of_a_sound_database(conn: store.Writer, path: str) -> None:
    assert store.check_up(path).newest_event_us is None
    submit(conn, 1, now_us=77)
    checkup = store.check_up(path)
    assert (checkup.newest_event_us, checkup.links) == (77, 1)
    assert checkup.damage.whole and not checkup.damage.findings
    assert checkup.wal_size == store.wal_bytes(conn) > 0
    assert store.sqlite_version() == sqlite3.sqlite_version


def test_a_check_that_runs_out_of_its_budget_says_so(
    conn: store.Writer, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisor.store.quick_check.CHECK_STEPS", 0)
    monkeypatch.setattr("supervisor.store.quick_check._STEPS_BETWEEN", 1)
    assert store.check_up(path).damage == ((), False)
