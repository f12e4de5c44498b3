"""Jobs that wait for others: decided with the other one's end, by whatever way it ends, and never again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from supervisor import store
from supervisor.core.dependency import After
from supervisor.core.errors import RequestError
from supervisor.core.outcome import Outcome
from tests.store.making import CANCELLED, EXIT_1, OK, STUCK, claim, claimed, do, new_job, settle, state, submit


def after(*named: int | tuple[int, str] | str) -> tuple[After, ...]:
    """`3` and `(3, "any")` by id, a text by its request_id."""
    made = []
    for one in named:
        if isinstance(one, str):
            made.append(After(request_id=one))
        else:
            job, condition = one if isinstance(one, tuple) else (one, "ok")
            made.append(After(job=job, condition=condition))  # type: ignore[arg-type]
    return tuple(made)


def view(conn: sqlite3.Connection, job: int) -> dict[str, Any]:
    found = store.job_view(conn, job)
    assert found is not None
    return found


def rows(conn: sqlite3.Connection) -> list[tuple[int, int, str]]:
    return conn.execute("SELECT job, on_job, condition FROM dependencies ORDER BY 1, 2").fetchall()


def test_a_job_that_waits_is_scheduled_and_says_for_whom(conn: store.Writer) -> None:
    first, second = submit(conn, 1), submit(conn, 2)
    job = submit(conn, 3, after=after(second, (first, "any"), second))
    seen = view(conn, job)
    assert (seen["state"], seen["waiting_for"]) == ("scheduled", [first, second])
    assert store.waits_of(conn, job) == [(first, "queued", "any"), (second, "queued", "ok")]
    listed = store.list_views(conn, states=(), queue=None, job_type=None, name=None, before=None, limit=9)
    assert [one["waiting_for"] for one in listed] == [[first, second], [], []]
    assert store.next_due_us(conn) is None
    assert do(conn, 10**12, store.promote_due) == 0


def test_it_is_queued_with_the_end_of_the_last_one(conn: store.Writer) -> None:
    first, second = submit(conn, 1), submit(conn, 2)
    job = submit(conn, 3, after=after(first, second))
    settle(conn, claimed(conn).lease)
    assert view(conn, job)["waiting_for"] == [second]
    assert state(conn, job) == "scheduled"
    (_settled,), events = store.run_batch(conn, 9, [_settle(claimed(conn).lease, OK)])
    assert [(event.job, event.kind, event.state) for event in events] == [
        (second, "completed", "completed"),
        (job, "due", "queued"),
    ]
    assert events[1].data == {"on_job": second, "on_state": "completed", "waits": 0}
    assert rows(conn) == []
    assert claimed(conn).job == job


def _settle(lease: int, outcome: Outcome) -> Callable[[store.Tx], Any]:
    return lambda tx: store.settle(
        tx, lease=lease, incarnation="w1", outcome=outcome, isolation="", result=None, progress=None, dice=0.5
    )


def cancel(conn: store.Writer, job: int) -> None:
    do(conn, 7, lambda tx: store.cancel(tx, job, by_uid=0, reason=None))


def lose(conn: store.Writer, reason: Any, started: int | None) -> None:
    do(conn, 8, lambda tx: store.lose(tx, incarnation="w1", reason=reason, message="gone", started=started))


def _completed(conn: store.Writer, job: int) -> None:
    settle(conn, claimed(conn).lease)


def _failed(conn: store.Writer, job: int) -> None:
    settle(conn, claimed(conn).lease, EXIT_1)


def _stuck(conn: store.Writer, job: int) -> None:
    settle(conn, claimed(conn).lease, STUCK)


def _cancelled_before(conn: store.Writer, job: int) -> None:
    cancel(conn, job)


def _cancelled_while_it_ran(conn: store.Writer, job: int) -> None:
    lease = claimed(conn).lease
    cancel(conn, job)
    settle(conn, lease, CANCELLED)


def _cancelled_and_given_back(conn: store.Writer, job: int) -> None:
    lease = claimed(conn).lease
    cancel(conn, job)
    do(conn, 8, lambda tx: store.release(tx, lease=lease, incarnation="w1"))


def _cancelled_and_never_started(conn: store.Writer, job: int) -> None:
    claimed(conn)
    cancel(conn, job)
    lose(conn, "worker_lost", started=0)


def _cancelled_and_lost(conn: store.Writer, job: int) -> None:
    claimed(conn)
    cancel(conn, job)
    lose(conn, "host_lost", started=None)


def _cancelled_and_unheld(conn: store.Writer, job: int) -> None:
    claimed(conn)
    cancel(conn, job)
    do(conn, 8, lambda tx: store.release_unheld(tx, incarnation="w1", holding=[]))


def _poison(conn: store.Writer, job: int) -> None:
    for _ in range(4):
        claimed(conn)
        lose(conn, "worker_lost", started=None)


def _lost_stuck(conn: store.Writer, job: int) -> None:
    claimed(conn)
    lose(conn, "stuck", started=None)


def _by_dependency(conn: store.Writer, job: int) -> None:
    raise AssertionError("is set up otherwise")


ENDS = {
    _completed: "completed",
    _failed: "failed",
    _stuck: "failed",
    _poison: "failed",
    _lost_stuck: "failed",
    _cancelled_before: "cancelled",
    _cancelled_while_it_ran: "cancelled",
    _cancelled_and_given_back: "cancelled",
    _cancelled_and_never_started: "cancelled",
    _cancelled_and_lost: "cancelled",
    _cancelled_and_unheld: "cancelled",
}
MET = {
    "ok": {"completed"},
    "any": {"completed", "failed", "cancelled"},
    "fail": {"failed"},
}


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__.strip("_"))
def test_every_way_to_end_decides_every_condition(conn: store.Writer, end: Callable[[store.Writer, int], None]) -> None:
    job = submit(conn, 1)
    waiters = {condition: submit(conn, n, after=after((job, condition))) for n, condition in enumerate(MET, 2)}
    end(conn, job)
    final = ENDS[end]
    assert state(conn, job) == final
    for condition, waiter in waiters.items():
        seen = view(conn, waiter)
        if final in MET[condition]:
            assert (seen["state"], seen["waiting_for"]) == ("queued", [])
        else:
            assert (seen["state"], seen["reason"], seen["waiting_for"]) == ("cancelled", "dependency", [])
            assert seen["message"].startswith(f"it waited for job {job} to ")
            assert f"(--after {job}:{condition}), which " in seen["message"]
            assert (seen["cancel_requested"], seen["exit_code"]) == (False, None)
    assert rows(conn) == []


@pytest.mark.parametrize("end", [_completed, _failed, _cancelled_before], ids=["completed", "failed", "cancelled"])
def test_what_is_over_already_is_decided_at_the_submit(
    conn: store.Writer, end: Callable[[store.Writer, int], None]
) -> None:
    job = submit(conn, 1)
    end(conn, job)
    for number, condition in enumerate(MET, 2):
        (stored,), events = store.run_batch(
            conn, 9, [lambda tx, n=number, c=condition: store.submit(tx, new_job(n, after=after((job, c))))]
        )
        assert isinstance(stored, store.Stored)
        met = ENDS[end] in MET[condition]
        assert stored.created
        assert state(conn, stored.job) == ("queued" if met else "cancelled")
        assert [event.kind for event in events] == (["submitted"] if met else ["submitted", "cancelled"])
    assert rows(conn) == []


def test_one_condition_that_cannot_be_met_ends_the_wait_for_all(conn: store.Writer) -> None:
    first, second = submit(conn, 1), submit(conn, 2)
    job = submit(conn, 3, after=after(first, second))
    cancel(conn, second)
    assert state(conn, job) == "cancelled"
    assert rows(conn) == []
    settle(conn, claimed(conn).lease)
    assert state(conn, job) == "cancelled"


def test_a_retry_in_between_decides_nothing(conn: store.Writer) -> None:
    first = submit(conn, 1, retries=1)
    job = submit(conn, 2, after=after(first))
    settle(conn, claimed(conn).lease, EXIT_1, now_us=10)
    assert state(conn, job) == "scheduled"
    do(conn, 10**10, store.promote_due)
    settle(conn, claimed(conn).lease)
    assert state(conn, job) == "queued"


def test_it_waits_for_both_the_others_and_its_own_time(conn: store.Writer) -> None:
    first = submit(conn, 1)
    late = submit(conn, 2, after=after(first), due_us=5000)
    soon = submit(conn, 3, after=after(first), due_us=2500)
    (_settled,), events = store.run_batch(conn, 3000, [_settle(claimed(conn).lease, OK)])
    assert (state(conn, late), state(conn, soon)) == ("scheduled", "queued")
    assert [(event.job, event.kind, event.state) for event in events[1:]] == [
        (late, "met", "scheduled"),
        (soon, "due", "queued"),
    ]
    assert store.next_due_us(conn) == 5000
    assert do(conn, 5000, store.promote_due) == 1
    assert state(conn, late) == "queued"


def test_a_clock_that_was_set_back_holds_up_only_what_was_submitted_for_later(conn: store.Writer) -> None:
    first = submit(conn, 1, now_us=9000)
    job = submit(conn, 2, now_us=9000, after=after(first))
    late = submit(conn, 3, now_us=9000, after=after(first), due_us=9500)
    settle(conn, claimed(conn).lease, now_us=3000)
    assert (state(conn, job), state(conn, late)) == ("queued", "scheduled")


def test_a_job_that_is_not_there_or_not_his_cannot_be_waited_for(conn: store.Writer) -> None:
    mine, his = submit(conn, 1, owner_uid=1000), submit(conn, 2, owner_uid=1001)
    cancel(conn, mine)
    for named in (after(mine, 999), after(his), after(mine, "request-2"), after("request-none"), after("request-9")):
        with pytest.raises(RequestError) as caught:
            submit(conn, 9, after=named)
        assert caught.value.code == "not_found"
    assert conn.execute("SELECT count(*) FROM jobs").fetchone() == (2,)
    assert state(conn, submit(conn, 3, after=after(his), owner_uid=0, is_admin=True)) == "scheduled"


@pytest.mark.parametrize("named", [(After(),), (After(job=1, request_id="request-1"),), after(1, (1, "any"))])
def test_a_condition_that_says_nothing_or_two_things_is_refused(conn: store.Writer, named: tuple[After, ...]) -> None:
    submit(conn, 1)
    with pytest.raises(RequestError) as caught:
        submit(conn, 2, after=named)
    assert caught.value.code == "bad_request"


def test_a_later_retry_revives_nothing_and_a_retried_waiter_waits_no_more(conn: store.Writer) -> None:
    first = submit(conn, 1)
    job = submit(conn, 2, after=after(first))
    settle(conn, claimed(conn).lease, EXIT_1)
    assert state(conn, job) == "cancelled"
    do(conn, 5, lambda tx: store.retry(tx, first, by_uid=0))
    settle(conn, claimed(conn).lease)
    assert state(conn, job) == "cancelled"
    do(conn, 6, lambda tx: store.retry(tx, job, by_uid=0))
    assert (view(conn, job)["state"], view(conn, job)["message"]) == ("queued", None)


def test_a_cancelled_waiter_waits_no_more_and_decides_those_behind_it(conn: store.Writer) -> None:
    first = submit(conn, 1)
    job = submit(conn, 2, after=after(first))
    behind = submit(conn, 3, after=after((job, "any")))
    cancel(conn, job)
    assert rows(conn) == []
    assert (state(conn, job), state(conn, behind)) == ("cancelled", "queued")
    settle(conn, claimed(conn).lease)
    assert state(conn, job) == "cancelled"


def test_a_refused_call_beside_it_leaves_what_was_decided(conn: store.Writer) -> None:
    first = submit(conn, 1)
    job = submit(conn, 2, after=after(first))

    def fails(tx: store.Tx) -> None:
        store.cancel(tx, first, by_uid=0, reason=None)
        raise RequestError("not_allowed", "after all not")

    store.run_batch(conn, 5, [fails])
    assert (state(conn, job), rows(conn)) == ("scheduled", [(job, first, "ok")])


# Chains and fans


def chain(conn: store.Writer, length: int) -> list[int]:
    jobs = [submit(conn, 0)]

    def grow(tx: store.Tx) -> None:
        for number in range(1, length):
            jobs.append(store.submit(tx, new_job(number, after=after(jobs[-1]))).job)

    do(conn, 5, grow)
    return jobs


def decide_the_rest(conn: store.Writer, ended: list[int]) -> int:
    """What the broker does between other transactions; returns how many it took."""
    turns = 0
    while left := store.jobs_with_undecided(conn, ended):
        _results, events = store.run_batch(conn, 9, [lambda tx, left=left: store.decide_rest(tx, left)])
        assert len(events) <= store.DECIDED_AT_ONCE
        ended = [*left, *(event.job for event in events)]
        turns += 1
    return turns


def test_a_chain_of_ten_thousand_falls_without_recursion_and_a_bounded_piece_at_a_time(conn: store.Writer) -> None:
    jobs = chain(conn, 10_000)
    (_done,), events = store.run_batch(conn, 8, [lambda tx: store.cancel(tx, jobs[0], by_uid=0, reason=None)])
    assert len(events) == 1 + store.DECIDED_AT_ONCE
    assert [event.job for event in events] == jobs[: 1 + store.DECIDED_AT_ONCE]
    assert decide_the_rest(conn, [event.job for event in events]) == 9
    assert conn.execute("SELECT state, count(*) FROM jobs GROUP BY 1").fetchall() == [("cancelled", 10_000)]
    assert rows(conn) == []
    assert f"job {jobs[-2]} to complete" in view(conn, jobs[-1])["message"]


def test_a_new_broker_finds_what_the_old_one_left_undecided(conn: store.Writer) -> None:
    jobs = chain(conn, 1500)
    cancel(conn, jobs[0])
    assert store.jobs_with_undecided(conn) == [jobs[store.DECIDED_AT_ONCE]]
    decide_the_rest(conn, store.jobs_with_undecided(conn))
    assert store.jobs_with_undecided(conn) == []
    assert rows(conn) == []


def fan(conn: store.Writer, width: int) -> tuple[int, list[int]]:
    first = submit(conn, 0)
    waiters = do(
        conn,
        5,
        lambda tx: [store.submit(tx, new_job(n, after=after(first))).job for n in range(1, width + 1)],
    )
    return first, waiters


def test_a_wide_fan_is_released_in_pieces(conn: store.Writer) -> None:
    first, waiters = fan(conn, 2500)
    settle(conn, claimed(conn).lease)
    assert store.counts(conn)["queued"] == store.DECIDED_AT_ONCE
    assert decide_the_rest(conn, [first]) == 2
    assert store.counts(conn)["queued"] == len(waiters)


@pytest.mark.parametrize("what", ["retry", "forget"])
def test_what_is_still_undecided_is_decided_before_a_job_is_retried_or_deleted(conn: store.Writer, what: str) -> None:
    first, waiters = fan(conn, 2500)
    behind = submit(conn, 9999, after=after(waiters[-1]))
    settle(conn, claimed(conn).lease, EXIT_1)
    if what == "retry":
        do(conn, 9, lambda tx: store.retry(tx, first, by_uid=0))
    else:
        do(conn, 9, lambda tx: store.forget_dependents(tx, first))
        conn.execute("DELETE FROM jobs WHERE id = ?", (first,))
    assert all(name == "cancelled" for name in store.states_of(conn, [*waiters, behind]).values())
    assert rows(conn) == []


def test_deleting_an_unfinished_job_makes_every_condition_impossible(conn: store.Writer) -> None:
    other = submit(conn, 1)
    job = submit(conn, 2, after=after(other))
    waiters = [submit(conn, n, after=after((job, condition))) for n, condition in enumerate(MET, 3)]
    behind = submit(conn, 9, after=after((waiters[0], "any")))
    do(conn, 9, lambda tx: store.forget_dependents(tx, job))
    conn.execute("DELETE FROM jobs WHERE id = ?", (job,))
    for waiter in waiters:
        seen = view(conn, waiter)
        assert (seen["state"], seen["reason"]) == ("cancelled", "dependency")
        assert seen["message"].endswith("which was deleted before it ended")
    assert state(conn, behind) == "queued"
    assert rows(conn) == []


# Many at once


def many(conn: store.Writer, *jobs: store.NewJob, known: dict[str, int] | None = None) -> list[store.Stored]:
    return do(conn, 5, lambda tx: store.submit_many(tx, jobs, known or {}))


def test_one_of_many_may_wait_for_an_earlier_one_by_its_request(conn: store.Writer) -> None:
    first, second, third = many(
        conn, new_job(1), new_job(2, after=after("request-1")), new_job(3, after=after("request-1", "request-2"))
    )
    assert view(conn, second.job)["waiting_for"] == [first.job]
    assert view(conn, third.job)["waiting_for"] == [first.job, second.job]


def test_of_many_all_are_stored_or_none_and_the_refused_one_is_named(conn: store.Writer) -> None:
    with pytest.raises(RequestError) as caught:
        many(conn, new_job(1), new_job(2), new_job(3, after=after("request-4")), new_job(4))
    assert (caught.value.code, caught.value.data) == ("not_found", {"job": None, "place": 2})
    assert conn.execute("SELECT count(*) FROM jobs").fetchone() == (0,)
    assert conn.execute("SELECT count(*) FROM events").fetchone() == (0,)


def test_the_same_many_again_are_the_same_jobs(conn: store.Writer) -> None:
    jobs = [new_job(1), new_job(2, after=after("request-1")), new_job(2, after=after("request-1"))]
    before = many(conn, *jobs)
    assert [one.created for one in before] == [True, True, False]
    assert [one.job for one in many(conn, *jobs)] == [one.job for one in before]


def test_waiting_for_one_of_many_whose_key_is_taken_is_waiting_for_the_job_that_has_it(conn: store.Writer) -> None:
    holder = submit(conn, 1, unique_key="k")
    existing, waiter = many(conn, new_job(2, unique_key="k"), new_job(3, after=after("request-2")))
    assert existing == (holder, False, True)
    assert view(conn, waiter.job)["waiting_for"] == [holder]
    assert many(conn, new_job(4, after=after("request-x")), known={"request-x": holder})[0].created


def test_nothing_that_waits_is_ever_claimed(conn: store.Writer) -> None:
    first = submit(conn, 1, type="python")
    submit(conn, 2, after=after(first), priority=1000)
    assert claim(conn) is None
