"""Unique keys: in a queue one unfinished job at most has a key, and nobody learns more of it than he may."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from supervisor import store
from supervisor.core.errors import RequestError
from tests.store.making import EXIT_1, claimed, do, new_job, settle, state, submit


def stored(conn: store.Writer, number: int, now_us: int = 1000, **changes: Any) -> store.Stored:
    return do(conn, now_us, lambda tx: store.submit(tx, new_job(number, **changes)))


def refused(conn: store.Writer, number: int, **changes: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        stored(conn, number, **changes)
    assert caught.value.code == "conflict"
    return caught.value


def test_a_taken_key_is_answered_with_the_job_that_has_it_as_long_as_that_is_not_over(conn: store.Writer) -> None:
    first = submit(conn, 1, unique_key="k", due_us=5000)
    assert stored(conn, 2, unique_key="k") == (first, False, True)  # scheduled
    do(conn, 6000, store.promote_due)
    assert stored(conn, 3, unique_key="k") == (first, False, True)  # queued
    lease = claimed(conn).lease
    assert stored(conn, 4, unique_key="k") == (first, False, True)  # running
    settle(conn, lease)
    second = stored(conn, 5, unique_key="k")
    assert (second.created, second.existing) == (True, False)


def test_the_key_is_kept_over_a_retry_and_free_after_a_cancel(conn: store.Writer) -> None:
    first = submit(conn, 1, unique_key="k", retries=1)
    settle(conn, claimed(conn).lease, EXIT_1)
    assert stored(conn, 2, unique_key="k") == (first, False, True)
    do(conn, 5, lambda tx: store.cancel(tx, first, by_uid=0, reason=None))
    assert stored(conn, 3, unique_key="k").created


def test_a_key_belongs_to_its_queue(conn: store.Writer) -> None:
    submit(conn, 1, unique_key="k")
    assert stored(conn, 2, unique_key="k", queue="other").created
    assert stored(conn, 3, unique_key="K").created
    assert stored(conn, 4).created
    assert stored(conn, 5).created


def test_refuse_names_the_job_and_stores_nothing(conn: store.Writer) -> None:
    first = submit(conn, 1, unique_key="k")
    error = refused(conn, 2, unique_key="k", on_conflict="refuse", inline={"b" * 64: b"x"})
    assert f"job {first}, which is queued" in error.message
    assert error.data == {"unique_key": "k", "job": first, "state": "queued"}
    assert conn.execute("SELECT count(*) FROM jobs").fetchone() == (1,)
    assert conn.execute("SELECT count(*) FROM contents").fetchone() == (1,)


def test_the_same_request_again_wins_over_the_key(conn: store.Writer) -> None:
    first = submit(conn, 1, unique_key="k", on_conflict="refuse")
    assert stored(conn, 1, unique_key="k", on_conflict="refuse") == (first, False, False)
    settle(conn, claimed(conn).lease)
    second = stored(conn, 2, unique_key="k")
    assert stored(conn, 1, unique_key="k") == (first, False, False)
    assert second.created


@pytest.mark.parametrize("on_conflict", ["return", "refuse"])
def test_of_anothers_job_nothing_but_the_key_is_told(conn: store.Writer, on_conflict: str) -> None:
    job = submit(conn, 1, unique_key="k", owner_uid=1000)
    error = refused(conn, 2, unique_key="k", owner_uid=1001, on_conflict=on_conflict)
    assert error.message == "the unique key 'k' is taken in queue default"
    assert error.data == {"unique_key": "k"}
    if on_conflict == "return":
        admin = stored(conn, 3, unique_key="k", owner_uid=0, is_admin=True)
        assert admin == (job, False, True)


def test_a_job_whose_key_is_taken_again_cannot_be_retried(conn: store.Writer) -> None:
    first = submit(conn, 1, unique_key="k")
    settle(conn, claimed(conn).lease, EXIT_1)
    second = submit(conn, 2, unique_key="k")
    for by_uid, is_admin, sees in ((1000, False, True), (1001, False, False), (7, True, True)):
        with pytest.raises(RequestError) as caught:
            do(conn, 5, lambda tx, uid=by_uid, admin=is_admin: store.retry(tx, first, by_uid=uid, is_admin=admin))
        assert caught.value.code == "conflict"
        assert (f"job {second}" in caught.value.message) == sees
    assert state(conn, first) == "failed"
    settle(conn, claimed(conn).lease)
    do(conn, 6, lambda tx: store.retry(tx, first, by_uid=1000))
    assert stored(conn, 3, unique_key="k") == (first, False, True)


def test_the_record_shows_the_key(conn: store.Writer, reader: sqlite3.Connection) -> None:
    job = submit(conn, 1, unique_key="k")
    view = store.job_view(reader, job)
    assert view is not None
    assert view["unique_key"] == "k"


def test_the_database_itself_lets_no_key_live_twice(conn: store.Writer) -> None:
    submit(conn, 1, unique_key="k")
    submit(conn, 2)
    with pytest.raises(sqlite3.IntegrityError):
        conn.execute("UPDATE jobs SET unique_key = 'k' WHERE id = 2")
