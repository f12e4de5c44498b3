"""Jobs that a pool's handler does not want: not asked again, no attempt, rejected when all have said no."""

from __future__ import annotations

import pytest
from making import claim, claimed, do, state, submit

from supervisor import store
from supervisor.core.errors import RequestError

TAKERS = ("a", "b")


def decline(
    conn: store.Writer, lease: int, pool: str, takers: tuple[str, ...] = TAKERS, incarnation: str = "w1"
) -> int:
    asked: list[tuple[str, str]] = []

    def takers_of(job_type: str, queue: str) -> tuple[str, ...]:
        asked.append((job_type, queue))
        return takers

    job = do(
        conn,
        3000,
        lambda tx: store.decline(tx, lease=lease, incarnation=incarnation, pool=pool, takers_of=takers_of),
    )
    assert asked in ([("node", "default")], [])
    return job


def test_a_pool_is_not_asked_again_and_others_are(conn: store.Writer, reader: store.Reader) -> None:
    job, later = submit(conn, 1), submit(conn, 2)
    lease = claimed(conn, pool="a")
    assert lease.job == job and decline(conn, lease.lease, "a") == job
    view = store.job_view(reader, job)
    assert view is not None and (view["state"], view["attempt"], view["attempts"]) == ("queued", 0, [])
    second = claimed(conn, pool="a", incarnation="w2")
    assert second.job == later, "what it declined is stepped over"
    other = claimed(conn, pool="b")
    assert (other.job, other.attempt) == (job, 1), "no attempt was used up"
    assert other.lease > lease.lease


def test_scripts_ask_for_no_declines(conn: store.Writer) -> None:
    job = submit(conn, 1)
    decline(conn, claimed(conn, pool="a").lease, "a")
    assert claimed(conn).job == job


def test_a_job_that_all_have_declined_is_rejected_without_an_attempt(conn: store.Writer, reader: store.Reader) -> None:
    job = submit(conn, 1, retries=3)
    for pool in TAKERS:
        decline(conn, claimed(conn, pool=pool).lease, pool)
    view = store.job_view(reader, job)
    assert view is not None
    assert (view["state"], view["reason"], view["attempt"], view["attempts"]) == ("failed", "rejected", 0, [])
    assert view["message"] == "every pool that takes type node declined it: a, b"
    kinds = [row[0] for row in reader.execute("SELECT kind FROM events WHERE job = ? ORDER BY id", (job,)).fetchall()]
    assert kinds == ["submitted", "running", "released", "running", "failed"]


def test_a_retry_asks_everybody_again(conn: store.Writer) -> None:
    job = submit(conn, 1)
    decline(conn, claimed(conn, pool="a").lease, "a", takers=("a",))
    assert state(conn, job) == "failed"
    do(conn, 4000, lambda tx: store.retry(tx, job, by_uid=1000))
    assert claimed(conn, 5000, pool="a").job == job


def test_a_cancel_wins_over_a_decline(conn: store.Writer) -> None:
    job = submit(conn, 1)
    lease = claimed(conn, pool="a")
    do(conn, 2500, lambda tx: store.cancel(tx, job, by_uid=1000, reason=None))
    decline(conn, lease.lease, "a", takers=("a",))
    assert state(conn, job) == "cancelled"


def test_only_who_holds_a_lease_can_decline_it(conn: store.Writer) -> None:
    submit(conn, 1)
    lease = claimed(conn, pool="a").lease
    for incarnation, number in (("w2", lease), ("w1", lease + 1)):
        with pytest.raises(RequestError) as refused:
            decline(conn, number, "a", incarnation=incarnation)
        assert refused.value.code == "stale_lease"
    decline(conn, lease, "a")
    with pytest.raises(RequestError):
        decline(conn, lease, "a")


def test_declines_go_with_their_job_and_the_claim_stays_a_seek(conn: store.Writer) -> None:
    from supervisor.store.claim import BEST_NOT_DECLINED

    plan = " ".join(
        row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {BEST_NOT_DECLINED}", ("q", "t", "p", 1)).fetchall()
    )
    assert "jobs_claim" in plan and "SCAN" not in plan and "TEMP B-TREE" not in plan, plan
    job = submit(conn, 1)
    decline(conn, claimed(conn, pool="a").lease, "a", takers=("a",))
    do(conn, 5000, lambda tx: tx.conn.execute("DELETE FROM jobs WHERE id = ?", (job,)))
    assert conn.execute("SELECT count(*) FROM declines").fetchone() == (0,)
    assert claim(conn) is None


def test_a_job_that_is_for_nobody_else_any_more_is_asked_for_once_more(
    conn: store.Writer, reader: store.Reader
) -> None:
    job = submit(conn, 1)
    decline(conn, claimed(conn, pool="a").lease, "a")
    assert ask_again(conn, TAKERS) is None and claim(conn, pool="a") is None, "it is still for the other one"
    assert ask_again(conn, ()) is None and claim(conn, pool="a") is None, "nobody takes it: nobody is asked"
    ask_again(conn, ("a",))
    decline(conn, claimed(conn, pool="a").lease, "a", ("a",))
    view = store.job_view(reader, job)
    assert view is not None and (view["state"], view["reason"]) == ("failed", "rejected")


def test_declined_jobs_are_looked_at_by_pages(conn: store.Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervisor.store.declines.LOOKED_AT_ONCE", 2)
    jobs = [submit(conn, number) for number in range(5)]
    for _ in jobs:
        decline(conn, claimed(conn, pool="a").lease, "a")
    assert [ask_again(conn, ("a",), after) for after in (0, jobs[1], jobs[3])] == [jobs[1], jobs[3], None]
    assert [claimed(conn, pool="a").job for _ in jobs] == jobs


def ask_again(conn: store.Writer, takers: tuple[str, ...], after: int = 0) -> int | None:
    return do(conn, 4000, lambda tx: store.ask_again(tx, lambda *_: takers, after))
