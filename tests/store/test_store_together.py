"""Submits that arrive together are stored together: it must look exactly as if each had been stored alone."""

from __future__ import annotations

import pathlib
import sqlite3
import tempfile
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor import store
from supervisor.core.dependency import After
from supervisor.core.job import Content, JobSpec
from supervisor.store.gathered import AT_MOST
from tests.store.making import new_job, submit

TABLES = ("jobs", "job_contents", "contents", "events", "dependencies", "counters", "sqlite_sequence")


def together(conn: store.Writer, *jobs: store.NewJob, now_us: int = 1000) -> tuple[list[Any], list[store.Event]]:
    return store.run_batch(conn, now_us, [store.Submission(job) for job in jobs])


def alone(conn: store.Writer, jobs: Sequence[store.NewJob], now_us: int) -> tuple[list[Any], list[store.Event]]:
    """Each in a transaction of its own."""
    results, events = [], []
    for job in jobs:
        (result,), emitted = store.run_batch(conn, now_us, [store.Submission(job)])
        results.append(result)
        events += emitted
    return results, events


def content_of(conn: sqlite3.Connection) -> dict[str, list[Any]]:
    return {table: sorted(conn.execute(f"SELECT * FROM {table}").fetchall(), key=repr) for table in TABLES}


def said(result: Any) -> Any:
    """A result, or what an error says."""
    return (type(result).__name__, str(result), getattr(result, "data", None)) if _is_error(result) else result


def _is_error(result: Any) -> bool:
    return isinstance(result, Exception)


def test_a_refused_one_keeps_none_of_its_neighbours_from_being_stored(conn: store.Writer) -> None:
    taken = submit(conn, 1, unique_key="key")
    results, events = together(
        conn,
        new_job(2),
        new_job(1, request_hash="other"),
        new_job(3, unique_key="key", on_conflict="refuse"),
        new_job(4, after=(After(job=99),)),
        new_job(5, due_us=10**18),
        new_job(6, unique_key="key"),
        new_job(7),
    )
    assert [said(result)[0] for result in results] == [2, *["RequestError"] * 4, taken, 3]
    assert [result.code for result in results if _is_error(result)] == [
        "conflict",
        "conflict",
        "not_found",
        "bad_request",
    ]
    assert [(event.id, event.job, event.kind) for event in events] == [(2, 2, "submitted"), (3, 3, "submitted")]
    assert store.queue_counts(conn)["default"]["queued"] == 3


def test_neighbours_see_one_another(conn: store.Writer) -> None:
    results, _events = together(
        conn,
        new_job(1, unique_key="key"),
        new_job(1, unique_key="key"),
        new_job(2, unique_key="key"),
        new_job(3, after=(After(request_id="request-1"),)),
        new_job(4, queue="small", max_queued=1),
        new_job(5, queue="small", max_queued=1),
    )
    assert results[:5] == [(1, True, False), (1, False, False), (1, False, True), (2, True, False), (3, True, False)]
    assert results[5].code == "queue_full"
    assert store.waits_of(conn, 2) == [(1, "queued", "ok")]


def test_a_defect_in_one_undoes_that_one_alone(conn: store.Writer) -> None:
    results, events = together(conn, new_job(1), new_job(2, priority=5000), new_job(3))
    assert results[0] == (1, True, False)
    assert isinstance(results[1], sqlite3.IntegrityError)
    assert results[2] == (2, True, False)
    assert [event.job for event in events] == [1, 2]
    assert store.counts(conn)["queued"] == 2


def test_more_than_are_gathered_at_once_are_stored_in_order(conn: store.Writer) -> None:
    results, events = together(conn, *(new_job(number) for number in range(2 * AT_MOST + 77)))
    assert [result.job for result in results] == [event.job for event in events] == [*range(1, 2 * AT_MOST + 78)]
    stored = conn.execute("SELECT id, request_id FROM jobs ORDER BY id").fetchall()
    assert stored == [(number + 1, f"request-{number}") for number in range(2 * AT_MOST + 77)]
    assert conn.execute("SELECT id, job FROM events ORDER BY id").fetchall() == [(n, n) for n, _ in stored]


def test_large_ones_are_stored_as_well_as_small_ones(conn: store.Writer) -> None:
    texts = ["x" * (number % 3) * 40_000 for number in range(40)]
    jobs = [new_job(number, spec=JobSpec(main="file.js", args=(text,))) for number, text in enumerate(texts)]
    results, _events = together(conn, *jobs)
    assert [result.job for result in results] == [*range(1, 41)]
    stored = conn.execute("SELECT json_extract(spec, '$.args[0]') FROM jobs ORDER BY id").fetchall()
    assert [text for (text,) in stored] == texts


@pytest.mark.parametrize("deleted", [1, 3])
def test_no_id_is_ever_given_again(conn: store.Writer, deleted: int) -> None:
    together(conn, new_job(1), new_job(2), new_job(3))
    store.run_batch(conn, 5, [lambda tx: store.cancel(tx, deleted, by_uid=0, reason=None)])
    conn.execute("DELETE FROM jobs WHERE id = ?", (deleted,))
    results, events = together(conn, new_job(4), new_job(5))
    assert [result.job for result in results] == [4, 5]
    assert [event.id for event in events] == [5, 6]


def _job(number: int, **changes: Any) -> store.NewJob:
    sha256 = f"{changes.pop('content'):064x}"
    spec = JobSpec(main="file.js", contents=(Content(path="file.js", sha256=sha256, size=3),))
    return new_job(number, spec=spec, inline={sha256: b"abc"}, **changes)


JOBS = st.builds(
    _job,
    st.integers(0, 12),
    request_hash=st.sampled_from(["hash", "hash", "hash", "other"]),
    owner_uid=st.sampled_from([1000, 1000, 1001]),
    is_admin=st.booleans(),
    priority=st.sampled_from([0, 0, 0, 0, 5, 5000]),
    queue=st.sampled_from(["default", "small"]),
    max_queued=st.sampled_from([None, None, 3]),
    unique_key=st.sampled_from([None, None, "a", "b"]),
    on_conflict=st.sampled_from(["return", "refuse"]),
    due_us=st.sampled_from([None, None, 5, 10**7, 10**18]),
    after=st.lists(
        st.builds(
            After,
            job=st.none(),
            request_id=st.integers(0, 12).map("request-{}".format),
            condition=st.sampled_from(["ok", "any", "fail"]),
        ),
        max_size=2,
    ).map(tuple),
    content=st.integers(0, 2),
)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.lists(JOBS, max_size=12), max_size=4))
def test_it_looks_as_if_each_had_been_stored_alone(batches: list[list[store.NewJob]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        one, other = (store.open_writer(str(pathlib.Path(folder) / name)) for name in ("together", "alone"))
        try:
            for number, jobs in enumerate(batches):
                mine, events = together(one, *jobs, now_us=1000 + number)
                theirs, expected = alone(other, jobs, 1000 + number)
                assert [said(result) for result in mine] == [said(result) for result in theirs]
                assert events == expected
                finished = [result.job for result in mine if not _is_error(result)][:1]
                for writer in (one, other):
                    cancels = [lambda tx, job=job: store.cancel(tx, job, by_uid=0, reason=None) for job in finished]
                    store.run_batch(writer, 1500 + number, cancels)
            assert content_of(one) == content_of(other)
        finally:
            one.close()
            other.close()
