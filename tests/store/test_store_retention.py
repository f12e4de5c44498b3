"""Removing jobs: what goes with them, what stays, and that no call is ever long."""

from __future__ import annotations

import sqlite3

import msgspec
import pytest

from supervisor import store
from supervisor.core.dependency import After
from supervisor.core.errors import RequestError
from supervisor.core.job import Content, JobSpec, Progress
from supervisor.store import removal
from supervisor.store.inspection import query
from tests.store.making import EXIT_1, SHA, claimed, do, settle, state, submit

OTHER = "b" * 64


def finished(conn: store.Writer, number: int, now_us: int = 3000, **changes: object) -> int:
    job = submit(conn, number, **changes)
    settle(conn, claimed(conn).lease, now_us=now_us, result=msgspec.Raw(b"1"))
    return job


def remove(conn: store.Writer, *jobs: int, owner_uid: int | None = None) -> store.Removed:
    chosen = {job: store.choose(conn, job) for job in jobs}
    return do(conn, 9000, lambda tx: store.remove(tx, chosen, owner_uid=owner_uid))


def rows(conn: sqlite3.Connection) -> dict[str, int]:
    tables = ("jobs", "attempts", "results", "contents", "job_contents", "dependencies", "events")
    return {table: query(conn, f"SELECT count(*) AS n FROM {table}")[0]["n"] for table in tables}


def test_a_job_goes_with_all_that_belongs_to_it(conn: store.Writer) -> None:
    job = finished(conn, 1)
    removed = remove(conn, job)
    assert removed == store.Removed({job: store.Chosen("completed", 3000)}, {}, frozenset({SHA}))
    assert rows(conn) == dict.fromkeys(rows(conn), 0)
    assert set(store.counts(conn).values()) == {0}


def test_its_number_is_never_given_again_and_its_request_is_forgotten(conn: store.Writer) -> None:
    job = finished(conn, 1)
    remove(conn, job)
    assert submit(conn, 1) == job + 1


def test_content_goes_with_the_last_job_that_needs_it(conn: store.Writer) -> None:
    spec = JobSpec(
        main="a",
        contents=(Content(path="a", sha256=SHA, size=3), Content(path="b", sha256=SHA, size=3)),
        stdin=Content(path="stdin", sha256=OTHER, size=10**6),
    )
    first, second = finished(conn, 1), finished(conn, 2, spec=spec)
    assert store.contents_needed(conn, [SHA, OTHER, "c" * 64]) == {SHA, OTHER}
    assert remove(conn, first).contents == frozenset()
    assert rows(conn)["contents"] == 1
    assert remove(conn, second).contents == {SHA, OTHER}
    assert rows(conn)["contents"] == 0


def test_a_running_job_is_never_removed(conn: store.Writer) -> None:
    job = submit(conn, 1)
    chosen = {job: store.choose(conn, job)}
    claimed(conn)
    with pytest.raises(RequestError, match="cancel it first") as caught:
        store.choose(conn, job)
    assert caught.value.code == "wrong_state"
    assert do(conn, 1, lambda tx: store.remove(tx, chosen)).jobs == {}
    running = {job: store.Chosen("running", 1000)}
    assert do(conn, 1, lambda tx: store.remove(tx, running)).jobs == {}
    assert state(conn, job) == "running"


def test_a_job_that_has_moved_on_since_it_was_chosen_stays(conn: store.Writer) -> None:
    job = finished(conn, 1)
    chosen = {job: store.choose(conn, job)}
    do(conn, 4000, lambda tx: store.retry(tx, job, by_uid=0))
    assert do(conn, 5000, lambda tx: store.remove(tx, chosen)).jobs == {}
    settle(conn, claimed(conn, 5000).lease, now_us=6000)
    assert do(conn, 7000, lambda tx: store.remove(tx, chosen)).jobs == {}, "it ended again, later"
    assert state(conn, job) == "completed"


def test_a_job_of_somebody_else_stays(conn: store.Writer) -> None:
    mine, his = finished(conn, 1, owner_uid=5), finished(conn, 2, owner_uid=6)
    assert set(remove(conn, mine, his, owner_uid=5).jobs) == {mine}
    assert state(conn, his) == "completed"


def test_what_waits_for_an_unfinished_job_is_cancelled_with_it(conn: store.Writer) -> None:
    first = submit(conn, 1)
    second = submit(conn, 2, after=(After(job=first, condition="any"),))
    third = submit(conn, 3, after=(After(job=second),))
    assert set(remove(conn, first).jobs) == {first}
    assert (state(conn, second), state(conn, third)) == ("cancelled", "cancelled")
    assert store.job_view(conn, second)["reason"] == "dependency"
    assert claim_nothing(conn)


def claim_nothing(conn: store.Writer) -> bool:
    return do(conn, 9, lambda tx: store.claim(tx, types=["node"], queues=None, worker="w", incarnation="w")) is None


def test_a_job_that_waits_can_be_removed(conn: store.Writer) -> None:
    first = submit(conn, 1)
    second = submit(conn, 2, after=(After(job=first),))
    assert set(remove(conn, second).jobs) == {second}
    settle(conn, claimed(conn).lease)
    assert state(conn, first) == "completed"


def test_many_jobs_go_in_calls_of_bounded_size(conn: store.Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "ROWS_AT_ONCE", 60)
    jobs = [finished(conn, number) for number in range(10)]
    rest = {job: store.choose(conn, job) for job in jobs}
    calls = 0
    while rest:
        before = rows(conn)["events"]
        done = do(conn, 9000, lambda tx, rest=rest: store.remove(tx, rest))
        assert before - rows(conn)["events"] <= 60
        rest, calls = done.rest, calls + 1
    assert calls > 2
    assert rows(conn)["jobs"] == 0


def test_a_job_that_told_its_progress_very_often_goes_over_several_calls(
    conn: store.Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "ROWS_AT_ONCE", 50)
    job = submit(conn, 1)
    lease = claimed(conn).lease
    for percentage in range(120):
        do(conn, 2500, lambda tx, p=percentage: store.report_progress(tx, lease, Progress(percentage=p % 100)))
    settle(conn, lease, EXIT_1)
    chosen = {job: store.choose(conn, job)}
    first = do(conn, 9000, lambda tx: store.remove(tx, chosen))
    assert (first.jobs, first.rest) == ({}, chosen)
    assert rows(conn)["events"] == 73
    while first.rest:
        first = do(conn, 9000, lambda tx, rest=first.rest: store.remove(tx, rest))
    assert rows(conn)["jobs"] == rows(conn)["events"] == 0


# Looking


def test_finished_jobs_come_by_their_end_and_by_pages(conn: store.Writer) -> None:
    ends = [5000, 3000, 4000, 3000]
    jobs = [finished(conn, number, now_us=end) for number, end in enumerate(ends)]
    expected = sorted(zip(ends, jobs, strict=True))
    first = store.finished_jobs(conn, "completed", None, 2)
    assert first + store.finished_jobs(conn, "completed", first[-1], 5) == expected
    assert store.finished_jobs(conn, "failed") == []


def test_finding_the_oldest_walks_the_index(conn: store.Writer) -> None:
    plan = query(
        conn,
        "EXPLAIN QUERY PLAN SELECT finished_us, id FROM jobs INDEXED BY jobs_finished WHERE state = 'failed' "
        "AND finished_us IS NOT NULL AND (finished_us, id) > (5, 6) ORDER BY finished_us, id LIMIT 3",
    )
    assert [row["detail"] for row in plan] == [
        "SEARCH jobs USING COVERING INDEX jobs_finished (state=? AND finished_us>?)"
    ]


def test_candidates_say_whose_they_are_and_since_when(conn: store.Writer) -> None:
    queued = submit(conn, 1, now_us=700, queue="slow", owner_uid=5, type="python")
    done = finished(conn, 2, now_us=3500)
    assert store.candidates(conn, "queued", 0) == [(queued, "slow", 5, 700)]
    assert store.candidates(conn, "completed", 0) == [(done, "default", 1000, 3500)]
    assert store.candidates(conn, "completed", done) == []


# Outputs, events, pages


def test_removed_outputs_are_remembered_for_the_attempts_that_there_were(conn: store.Writer) -> None:
    job = finished(conn, 1)
    assert do(conn, 5000, lambda tx: store.note_outputs_removed(tx, job, {"bytes": 7}))
    do(conn, 6000, lambda tx: store.retry(tx, job, by_uid=0))
    assert not do(conn, 6000, lambda tx: store.note_outputs_removed(tx, job, {"bytes": 7})), "it is not over"
    settle(conn, claimed(conn, 7000).lease)
    assert [store.outputs_removed(conn, job, attempt) for attempt in (1, 2)] == [True, False]


def test_old_events_of_no_job_go_and_those_of_jobs_stay(conn: store.Writer) -> None:
    job = submit(conn, 1, now_us=100)
    for at_us in (200, 300, 400):
        do(conn, at_us, lambda tx: store.pause(tx, [f"q{tx.now_us}"], by_uid=0))
    assert do(conn, 900, lambda tx: store.remove_old_events(tx, 300)) == 1
    assert do(conn, 900, lambda tx: store.remove_old_events(tx, 300)) == 0
    left = query(conn, "SELECT job, at_us FROM events ORDER BY id")
    assert [(row["job"], row["at_us"]) for row in left] == [(job, 100), (None, 300), (None, 400)]


def test_queues_that_are_empty_are_forgotten(conn: store.Writer) -> None:
    remove(conn, submit(conn, 1, queue="once"))
    submit(conn, 2, queue="still")
    assert do(conn, 1, store.forget_empty_queues) == 1
    assert store.queue_counts(conn).keys() == {"still"}
    submit(conn, 3, queue="once")
    assert store.queue_counts(conn)["once"]["queued"] == 1


def test_free_pages_are_given_back_in_small_steps(conn: store.Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "PAGES_KEPT_FREE", 10)
    monkeypatch.setattr(removal, "PAGES_AT_ONCE", 50)
    jobs = [submit(conn, n, inline={f"{n:064x}": bytes(100_000)}, spec=_needs(f"{n:064x}")) for n in range(10)]
    before = _pages(conn)
    remove(conn, *jobs)
    steps = 0
    while do(conn, 1, store.give_back_pages):
        steps += 1
    assert steps >= 3
    assert _pages(conn) < before - 200
    assert query(conn, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    assert do(conn, 1, store.give_back_pages) == 0


def _needs(sha256: str) -> JobSpec:
    return JobSpec(main="a", contents=(Content(path="a", sha256=sha256, size=100_000),))


def _pages(conn: sqlite3.Connection) -> int:
    return int(conn.execute("PRAGMA page_count").fetchone()[0])
