"""Pauses and caps of queues, call by call."""

from __future__ import annotations

import pytest

from supervisor import store
from supervisor.core.errors import RequestError
from supervisor.core.queues import NO_CAPS, QueueCaps
from supervisor.core.retry import Backoff
from supervisor.store.inspection import query
from tests.store.making import EXIT_1, SPEC, claim, claimed, do, new_job, settle, state, submit

NAMES = ("slow", "other")


def pause(conn: store.Writer, *queues: str) -> list[str]:
    return do(conn, 5000, lambda tx: store.pause(tx, queues, by_uid=7))


def resume(conn: store.Writer, *queues: str) -> list[str]:
    return do(conn, 6000, lambda tx: store.resume(tx, queues, by_uid=7))


@pytest.mark.parametrize("queues", [None, ["slow", "default"]])
def test_a_paused_queue_grants_no_lease_and_others_do(conn: store.Writer, queues: list[str] | None) -> None:
    slow, default = submit(conn, 1, queue="slow", priority=9), submit(conn, 2)
    assert pause(conn, "slow") == ["slow"]
    assert claimed(conn, queues=queues).job == default
    assert claim(conn, queues=queues) is None
    assert resume(conn, "slow") == ["slow"]
    assert claimed(conn, queues=queues).job == slow


def test_pausing_all_holds_queues_that_do_not_exist_yet(conn: store.Writer) -> None:
    assert pause(conn) == ["*"]
    submit(conn, 1, queue="new")
    assert claim(conn) is None
    assert resume(conn) == ["*"]
    assert claim(conn) is not None


def test_one_queue_cannot_be_resumed_while_all_are_paused(conn: store.Writer) -> None:
    pause(conn, "slow")
    pause(conn)
    with pytest.raises(RequestError) as caught:
        resume(conn, "slow")
    assert caught.value.code == "wrong_state"
    assert store.pauses(conn).keys() == {"*", "slow"}
    assert sorted(resume(conn)) == ["*", "slow"]
    assert store.pauses(conn) == {}


def test_pausing_again_changes_nothing(conn: store.Writer) -> None:
    pause(conn, "slow")
    assert do(conn, 9999, lambda tx: store.pause(tx, ["slow", "slow"], by_uid=8)) == []
    assert store.pauses(conn) == {"slow": store.Pause("slow", 5000, 7)}
    assert resume(conn, "never") == []
    kinds = [row["kind"] for row in query(conn, "SELECT kind FROM events WHERE job IS NULL ORDER BY id")]
    assert kinds == ["queue_paused"]


@pytest.mark.parametrize(
    ("paused", "expected"), [([], None), (["slow"], "slow"), ([[], "slow"], "*"), (["other"], None)]
)
def test_what_pauses_a_queue(conn: store.Writer, paused: list, expected: str | None) -> None:
    for name in paused:
        pause(conn, *([name] if name else []))
    found = store.pause_of(conn, "slow")
    assert (found and found.queue) == expected


def test_a_pause_outlives_its_connection(conn: store.Writer, path: str) -> None:
    pause(conn, "slow")
    submit(conn, 1, queue="slow")
    conn.close()
    again = store.open_writer(path)
    try:
        assert claim(again) is None
    finally:
        again.close()


def test_a_running_job_of_a_paused_queue_ends_as_ever(conn: store.Writer) -> None:
    job = submit(conn, 1, queue="slow")
    lease = claimed(conn).lease
    pause(conn)
    assert settle(conn, lease).state == "completed"
    assert state(conn, job) == "completed"


# Caps


def test_a_capped_queue_runs_as_many_as_it_may_and_the_rest_when_one_has_ended(conn: store.Writer) -> None:
    caps = {"slow": QueueCaps(max_running=2)}
    jobs = [submit(conn, number, queue="slow") for number in range(3)]
    other = submit(conn, 9)
    held: set[str] = set()
    first = claimed(conn, caps=caps, held_back=held)
    assert (first.job, claimed(conn, caps=caps, held_back=held).job, held) == (jobs[0], jobs[1], set())
    assert claimed(conn, caps=caps, held_back=held).job == other
    assert held == {"slow"}
    assert claim(conn, caps=caps) is None
    settle(conn, first.lease)
    assert claimed(conn, caps=caps).job == jobs[2]


def test_the_table_of_all_queues_caps_each_by_itself(conn: store.Writer) -> None:
    caps = {"*": QueueCaps(max_running=1), "free": NO_CAPS}
    for number, queue in enumerate(["a", "a", "b", "b", "free", "free"]):
        submit(conn, number, queue=queue)
    leased = [claimed(conn, caps=caps).queue for _ in range(4)]
    assert sorted(leased) == ["a", "b", "free", "free"]
    assert claim(conn, caps=caps) is None


def test_a_cap_of_none_at_once_starts_nothing(conn: store.Writer) -> None:
    submit(conn, 1)
    assert claim(conn, caps={"default": QueueCaps(max_running=0)}) is None


def test_two_claims_in_one_transaction_do_not_exceed_a_cap(conn: store.Writer) -> None:
    for number in range(3):
        submit(conn, number)
    caps = {"default": QueueCaps(max_running=1)}
    calls = [
        lambda tx, name=name: store.claim(tx, types=["node"], queues=None, worker=name, incarnation=name, caps=caps)
        for name in ("w1", "w2")
    ]
    results, _ = store.run_batch(conn, 1, calls)
    assert [result is None for result in results] == [False, True]


def test_a_full_queue_refuses_one_more_and_stores_nothing(conn: store.Writer) -> None:
    for number in range(2):
        submit(conn, number, max_queued=2)
    submit(conn, 5, queue="other", max_queued=2)
    with pytest.raises(RequestError) as caught:
        submit(conn, 6, max_queued=2, inline={"b" * 64: b"other"})
    assert caught.value.code == "queue_full"
    assert store.counts(conn)["queued"] == 3
    assert query(conn, "SELECT count(*) AS n FROM contents WHERE sha256 LIKE 'b%'") == [{"n": 0}]


def test_jobs_that_are_due_later_fill_a_queue_and_running_ones_do_not(conn: store.Writer) -> None:
    submit(conn, 1, due_us=10**9, max_queued=2)
    submit(conn, 2, max_queued=2)
    claimed(conn)
    submit(conn, 3, max_queued=2)
    with pytest.raises(RequestError, match="queue default is full"):
        submit(conn, 4, max_queued=2)


def test_the_same_request_is_answered_although_the_queue_is_full(conn: store.Writer) -> None:
    job = submit(conn, 1, max_queued=1)
    assert submit(conn, 1, max_queued=1) == job


def test_submits_that_race_into_one_transaction_do_not_exceed_the_depth(conn: store.Writer) -> None:
    calls = [lambda tx, n=n: store.submit(tx, new_job(n, max_queued=3)) for n in range(5)]
    results, _ = store.run_batch(conn, 1, calls)
    assert [isinstance(result, RequestError) for result in results] == [False] * 3 + [True] * 2
    assert store.counts(conn)["queued"] == 3


def test_a_retry_goes_back_into_a_full_queue(conn: store.Writer) -> None:
    spec = type(SPEC)(main="f", backoff=Backoff(base_s=0.0))
    job = submit(conn, 1, retries=1, spec=spec, inline={}, max_queued=1)
    lease = claimed(conn).lease
    submit(conn, 2, max_queued=1)
    settle(conn, lease, EXIT_1)
    assert state(conn, job) == "scheduled"
