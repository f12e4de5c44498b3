"""What is counted of workers and of jobs that ended: exact, once, and found without reading the whole table."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from supervisor import store
from supervisor.core.errors import RequestError
from supervisor.core.names import EVENTS, FINAL_STATES
from supervisor.core.statistics import spread
from supervisor.store import happenings, history, statistics
from tests.store.making import EXIT_1, OK, claim, claimed, do, settle, submit

SECOND = 1_000_000


def finish(conn: store.Writer, number: int, at_us: int, outcome: Any = OK, **changes: Any) -> int:
    """A job that was due 3 s before its end, began 1 s before it, and ended so."""
    job = submit(conn, number, now_us=at_us - 3 * SECOND, **changes)
    settle(conn, claimed(conn, now_us=at_us - SECOND).lease, outcome, now_us=at_us)
    return job


# Workers


def test_an_attempt_is_counted_for_its_worker_when_it_ends(conn: store.Writer, reader: sqlite3.Connection) -> None:
    submit(conn, 1)
    submit(conn, 2)
    first, second = claimed(conn), claimed(conn, worker="big-ones/12")
    assert store.tallies(reader) == {}
    settle(conn, first.lease, OK)
    settle(conn, second.lease, EXIT_1)
    assert store.tallies(reader) == {
        "scripts/1": store.Tally("scripts/1", "scripts", 1, 0, OK.wall_s, 0, {}),
        "big-ones/12": store.Tally("big-ones/12", "big-ones", 0, 1, EXIT_1.wall_s, 0, {}),
    }


def test_the_same_settle_again_is_not_counted_again(conn: store.Writer, reader: sqlite3.Connection) -> None:
    submit(conn, 1)
    lease = claimed(conn).lease
    for _ in range(3):
        settle(conn, lease, OK)
    with pytest.raises(RequestError):
        settle(conn, lease, EXIT_1)
    assert (store.tallies(reader)["scripts/1"].done, store.tallies(reader)["scripts/1"].failed) == (1, 0)


def test_a_lost_attempt_counts_as_failed_with_the_time_it_was_out(
    conn: store.Writer, reader: sqlite3.Connection
) -> None:
    submit(conn, 1)
    claimed(conn, now_us=2 * SECOND)
    do(
        conn,
        5 * SECOND,
        lambda tx: store.lose(tx, incarnation="w1", reason="worker_lost", message="gone", started=None),
    )
    tally = store.tallies(reader)["scripts/1"]
    assert (tally.done, tally.failed, tally.busy_s) == (0, 1, 3.0)


def test_a_lease_that_never_started_is_no_attempt_of_anybody(conn: store.Writer, reader: sqlite3.Connection) -> None:
    submit(conn, 1)
    lease = claimed(conn).lease
    do(conn, 3000, lambda tx: store.release(tx, lease=lease, incarnation="w1"))
    assert store.tallies(reader) == {}


def ended(incarnation: str, kind: store.WorkerEnd = "worker_died", reason: str = "SIGKILL") -> Callable[[Any], None]:
    return lambda tx: store.record_worker_end(
        tx, worker="scripts/1", incarnation=incarnation, kind=kind, reason=reason, cause="ended by SIGKILL"
    )


def test_restarts_are_counted_by_reason_and_each_end_once(conn: store.Writer, reader: sqlite3.Connection) -> None:
    do(conn, 1, ended("s-1"))
    do(conn, 2, ended("s-1"))
    do(conn, 3, ended("s-2", reason="exit 6"))
    do(conn, 4, ended("s-3"))
    do(conn, 5, ended("s-4", "worker_recycled", "max_jobs"))
    do(conn, 6, ended("s-5", "worker_stopped", "stopped"))
    tally = store.tallies(reader)["scripts/1"]
    assert (tally.restarts, tally.reasons) == (4, {"SIGKILL": 2, "exit 6": 1, "max_jobs": 1})
    kinds = [event.kind for event in store.events_after(reader, job=None, after=0, limit=100)]
    assert kinds == ["worker_died"] * 3 + ["worker_recycled", "worker_stopped"]


def test_a_start_that_is_heard_of_again_is_recorded_once(conn: store.Writer, reader: sqlite3.Connection) -> None:
    def start(tx: store.Tx) -> None:
        store.record_daemon_start(tx, supervisor="s", pid=7, version="1", restarted=False)
        store.record_worker_start(tx, worker="scripts/1", incarnation="s-1", pid=8, isolation="plain")

    do(conn, 1, start)
    do(conn, 2, start)
    do(conn, 3, lambda tx: store.record_daemon_start(tx, supervisor="s", pid=7, version="1", restarted=True))
    events = store.events_after(reader, job=None, after=0, limit=100)
    assert [event.kind for event in events] == ["daemon_started", "worker_started", "broker_restarted"]
    assert {(event.job, event.state, event.attempt) for event in events} == {(None, None, None)}


def test_an_event_of_a_kind_that_nobody_documented_is_a_defect(conn: store.Writer) -> None:
    with pytest.raises(AssertionError, match="EVENTS"):
        do(conn, 1, lambda tx: store.record_event(tx, "something", {}))
    do(conn, 1, lambda tx: store.record_event(tx, "settings_reloaded", {"message": "2 keys changed"}))
    assert "settings_reloaded" in EVENTS


# Jobs that have ended


def test_what_finished_is_counted_from_a_moment_on(conn: store.Writer, reader: sqlite3.Connection) -> None:
    for number in range(6):
        finish(conn, number, (10 + number) * SECOND, EXIT_1 if number % 2 else OK)
    cancelled = submit(conn, 9, now_us=20 * SECOND)
    do(conn, 21 * SECOND, lambda tx: store.cancel(tx, cancelled, by_uid=0, reason=None))
    assert store.finished_since(reader, 0) == {"completed": 3, "failed": 3, "cancelled": 1}
    assert store.finished_since(reader, 13 * SECOND) == {"completed": 1, "failed": 1, "cancelled": 1}
    assert store.finished_since(reader, 21 * SECOND) == dict.fromkeys(FINAL_STATES, 0)


def test_times_are_those_of_the_newest_that_ran(conn: store.Writer, reader: sqlite3.Connection) -> None:
    for number in range(10):
        finish(conn, number, (100 + number) * SECOND)
    never_ran = submit(conn, 90, now_us=200 * SECOND)
    do(conn, 201 * SECOND, lambda tx: store.cancel(tx, never_ran, by_uid=0, reason=None))
    times = store.times_since(reader, 0)
    assert times == store.Times(10, spread([2.0] * 10), spread([OK.wall_s] * 10))
    assert store.times_since(reader, 105 * SECOND).jobs == 4
    assert store.times_since(reader, 0, most=3).jobs == 2, "the one that never ran is among the newest three"
    assert store.times_since(reader, 300 * SECOND) == store.Times(0, spread([]), spread([]))


def test_the_commonest_cause_of_failure_is_first(conn: store.Writer, reader: sqlite3.Connection) -> None:
    timeout = type(OK)(reason="timeout", message="too long")
    for number, outcome in enumerate([EXIT_1, timeout, OK, timeout]):
        finish(conn, number, (10 + number) * SECOND, outcome)
    assert list(store.failures_since(reader, 0).items()) == [("timeout", 2), ("exit", 1)]
    assert store.failures_since(reader, 0, most=1) == {"timeout": 1}
    assert store.failures_since(reader, 13 * SECOND) == {}


def test_jobs_in_brief(conn: store.Writer, reader: sqlite3.Connection) -> None:
    job = submit(conn, 1)
    assert store.briefs_of(reader, [job, 77]) == {job: store.Brief("file.js", None, 1000)}
    claim(conn, now_us=4000)
    assert store.briefs_of(reader, [job]) == {job: store.Brief("file.js", 4000, 1000)}


# Where a reader of events begins


def test_the_newest_events_of_all_of_a_job_and_of_an_owner(conn: store.Writer, reader: sqlite3.Connection) -> None:
    mine = [submit(conn, number, owner_uid=1) for number in range(3)]
    for number in range(3, 6):
        submit(conn, number, owner_uid=2)
    do(conn, 9000, lambda tx: store.cancel(tx, mine[0], by_uid=1, reason=None))
    last = store.last_event_id(reader)
    assert last == 7
    assert [store.before_newest(reader, count, last=last) for count in (0, 1, 3, 7, 99)] == [7, 6, 4, 0, 0]
    assert [store.before_newest(reader, count, last=last, job=mine[0]) for count in (1, 2)] == [1, 0]
    assert [store.before_newest(reader, count, last=last, owner_uid=1) for count in (1, 2, 4)] == [3, 2, 0]
    assert store.owners_of(reader, [1, 4, 99]) == {1: 1, 4: 2}


# How it is found


def plan(conn: sqlite3.Connection, query: str, asked: Any) -> list[str]:
    return [row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {query}", asked).fetchall()]


SINCE = {"since_us": 1, "most": 10}


@pytest.mark.parametrize(
    ("query", "asked", "steps"),
    [
        (statistics.FINISHED, SINCE | {"state": "failed"}, ["jobs USING COVERING INDEX jobs_finished (state=? AND "]),
        (statistics.FAILURES, SINCE, ["jobs USING INDEX jobs_finished (state=? AND finished_us>?)"]),
        (
            statistics.TIMES,
            SINCE,
            [
                *["jobs USING COVERING INDEX jobs_finished (state=? AND finished_us>?)"] * 3,
                "j USING INTEGER PRIMARY KEY",
                "a USING INDEX sqlite_autoindex_attempts_1 (job=? AND number=?)",
            ],
        ),
        (statistics.BRIEFS, ("[1]",), ["jobs USING INTEGER PRIMARY KEY"]),
        (
            happenings.ALREADY,
            {"kind": "", "or_kind": "", "or_else": "", "member": "$.a", "value": "", "remembered": 5},
            ["events USING INDEX events_job (job=?)"],
        ),
        (history.NEWEST_OF_JOB, {"job": 1, "count": 5}, ["events USING COVERING INDEX events_job (job=?)"]),
        (
            history.NEWEST_OF_OWNER,
            {"owner": 1, "floor": 5, "count": 5},
            ["e USING INTEGER PRIMARY KEY (rowid>?)", "j USING INTEGER PRIMARY KEY"],
        ),
        (history.OWNERS, ("[1]",), ["jobs USING INTEGER PRIMARY KEY"]),
    ],
    ids=["finished", "failures", "times", "briefs", "already", "newest-of-job", "newest-of-owner", "owners"],
)
def test_every_question_seeks_in_an_index(conn: store.Writer, query: str, asked: Any, steps: list[str]) -> None:
    steps_taken = plan(conn, query, asked)
    seeks = [step.removeprefix("SEARCH ") for step in steps_taken if step.startswith("SEARCH ")]
    assert len(seeks) == len(steps)
    assert all(seek.startswith(step) for seek, step in zip(sorted(seeks), sorted(steps), strict=True)), steps_taken
    scans = [step for step in steps_taken if step.startswith("SCAN ")]
    assert all("json_each" in step or "subquery" in step or step == "SCAN newest" for step in scans), steps_taken
    # What is sorted has been cut to `most` before: the newest of three states to be merged, the reasons of failure.
    before_sorts = {steps_taken[place - 1] for place, step in enumerate(steps_taken) if "FOR ORDER BY" in step}
    assert all("subquery" in step or "GROUP BY" in step for step in before_sorts), steps_taken


def test_the_newest_of_all_walk_the_primary_key_backwards(conn: store.Writer) -> None:
    assert plan(conn, history.NEWEST, {"count": 5}) == ["SCAN events"], "and no sort: it ends after `count` rows"
