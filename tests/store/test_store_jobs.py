"""What clients and time do to a job, call by call."""

from __future__ import annotations

import sqlite3

import msgspec
import pytest

from supervisor import store
from supervisor.core.errors import RequestError
from supervisor.core.job import JobSpec, Progress
from supervisor.store.inspection import query
from tests.store.making import CANCELLED, EXIT_1, OK, SHA, SPEC, claim, claimed, do, new_job, settle, state, submit


def test_the_same_request_is_the_same_job(conn: store.Writer) -> None:
    assert do(conn, 1, lambda tx: store.submit(tx, new_job(1))) == (1, True, False)
    assert do(conn, 2, lambda tx: store.submit(tx, new_job(1))) == (1, False, False)
    assert store.last_event_id(conn) == 1


@pytest.mark.parametrize("changes", [{"request_hash": "other"}, {"owner_uid": 1001}])
def test_the_same_request_with_other_content_is_a_conflict(conn: store.Writer, changes: dict[str, object]) -> None:
    submit(conn, 1)
    with pytest.raises(RequestError) as caught:
        submit(conn, 1, **changes)
    assert caught.value.code == "conflict"


def test_a_request_is_known_after_its_job_is_over(conn: store.Writer) -> None:
    job = submit(conn, 1)
    settle(conn, claimed(conn).lease)
    assert do(conn, 9, lambda tx: store.submit(tx, new_job(1))) == (job, False, False)


@pytest.mark.parametrize(
    ("due_us", "expected"), [(None, "queued"), (999, "queued"), (1000, "queued"), (1001, "scheduled")]
)
def test_a_job_is_scheduled_only_while_it_is_due_later(conn: store.Writer, due_us: int | None, expected: str) -> None:
    job = submit(conn, 1, now_us=1000, due_us=due_us)
    assert state(conn, job) == expected


@pytest.mark.parametrize("due_us", [-1, 253402300800000000])
def test_a_due_time_that_no_date_can_say_is_refused(conn: store.Writer, due_us: int) -> None:
    with pytest.raises(RequestError, match="9999"):
        submit(conn, 1, due_us=due_us)


@pytest.mark.parametrize("params", [b"[" * 950 + b"]" * 950, b"1e999", b'"\\ud800"'])
def test_params_that_no_claim_could_read_again_are_refused(conn: store.Writer, params: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        submit(conn, 1, spec=JobSpec(params=msgspec.Raw(params)))
    assert caught.value.code == "bad_request"
    assert store.counts(conn)["queued"] == 0


def test_what_is_due_is_queued_and_nothing_else(conn: store.Writer) -> None:
    jobs = [submit(conn, number, due_us=2000 + number) for number in range(3)]
    assert store.next_due_us(conn) == 2000
    assert do(conn, 1999, store.promote_due) == 0
    assert do(conn, 2001, store.promote_due) == 2
    assert [state(conn, job) for job in jobs] == ["queued", "queued", "scheduled"]
    assert do(conn, 2002, store.promote_due) == 1
    assert store.next_due_us(conn) is None


def test_at_most_a_thousand_become_due_at_once(conn: store.Writer) -> None:
    store.run_batch(conn, 1, [lambda tx, n=number: store.submit(tx, new_job(n, due_us=5)) for number in range(1001)])
    assert [do(conn, 9, store.promote_due) for _ in range(3)] == [1000, 1, 0]


def test_cancel_of_a_waiting_job_is_final_at_once(conn: store.Writer) -> None:
    queued, scheduled = submit(conn, 1), submit(conn, 2, due_us=9999)
    for job in (queued, scheduled):
        answer = do(conn, 2000, lambda tx, job=job: store.cancel(tx, job, by_uid=7, reason="no need"))
        assert answer == ("cancelled", None, None)
        view = store.job_view(conn, job)
        assert view is not None
        assert (view["state"], view["reason"], view["message"]) == (
            "cancelled",
            "cancelled",
            "cancelled before it ran: no need",
        )
        assert view["finished_at"] == store.rfc3339(2000)
    assert claim(conn) is None


def test_cancel_of_a_running_job_names_whom_to_tell(conn: store.Writer) -> None:
    job = submit(conn, 1)
    lease = claimed(conn).lease
    for _ in range(2):
        answer = do(conn, 3, lambda tx: store.cancel(tx, job, by_uid=7, reason=None))
        assert answer == ("running", lease, "w1")
    kinds = [event.kind for event in store.events_after(conn, job=job, after=0, limit=9)]
    assert kinds == ["submitted", "running", "cancelling"]


@pytest.mark.parametrize(
    ("outcome", "exit_code", "signal"), [(CANCELLED, None, "SIGTERM"), (OK, 0, None), (EXIT_1, 1, None)]
)
def test_a_committed_cancel_wins_and_the_attempt_keeps_its_end(
    conn: store.Writer, outcome: object, exit_code: int | None, signal: str | None
) -> None:
    job = submit(conn, 1, retries=5)
    lease = claimed(conn).lease
    do(conn, 3, lambda tx: store.cancel(tx, job, by_uid=7, reason="enough"))
    assert settle(conn, lease, outcome).state == "cancelled"  # type: ignore[arg-type]
    view = store.job_view(conn, job)
    assert view is not None
    assert view["reason"] == "cancelled"
    assert view["message"].startswith("cancelled while it ran: enough")
    assert (view["exit_code"], view["signal"]) == (exit_code, signal)
    assert view["attempts"][0]["reason"] == outcome.reason  # type: ignore[attr-defined]


def test_cancel_and_retry_say_what_is_wrong(conn: store.Writer) -> None:
    job = submit(conn, 42)
    settle_me = claimed(conn).lease
    with pytest.raises(RequestError, match="only a job that is over") as caught:
        do(conn, 3, lambda tx: store.retry(tx, job, by_uid=7))
    assert caught.value.code == "wrong_state"
    settle(conn, settle_me)
    with pytest.raises(RequestError, match=f"job {job} is already completed") as caught:
        do(conn, 3, lambda tx: store.cancel(tx, job, by_uid=7, reason=None))
    assert (caught.value.code, caught.value.data) == ("wrong_state", {"job": job, "state": "completed"})
    for call in (
        lambda tx: store.cancel(tx, 99, by_uid=7, reason=None),
        lambda tx: store.retry(tx, 99, by_uid=7),
    ):
        with pytest.raises(RequestError) as caught:
            do(conn, 3, call)
        assert caught.value.code == "not_found"


def test_a_retried_job_starts_over_but_its_attempts_go_on(conn: store.Writer) -> None:
    job = submit(conn, 1)
    lease = claimed(conn)
    do(conn, 2500, lambda tx: store.report_progress(tx, lease.lease, Progress(percentage=40)))
    settle(conn, lease.lease, EXIT_1, result=msgspec.Raw(b'{"a":1}'))
    before = store.job_view(conn, job)
    assert before is not None
    assert (before["result"], before["progress"]["percentage"]) == ({"a": 1}, 40)
    do(conn, 4000, lambda tx: store.retry(tx, job, by_uid=7))
    view = store.job_view(conn, job)
    assert view is not None
    assert (view["state"], view["result"], view["progress"], view["finished_at"]) == ("queued", None, None, None)
    assert (view["reason"], view["exit_code"]) == ("exit", 1)
    assert view["due_at"] == store.rfc3339(4000)
    again = claimed(conn)
    assert (again.attempt, again.lease > lease.lease) == (2, True)


def test_a_job_cancelled_before_it_ran_forgets_that_when_it_is_retried(conn: store.Writer) -> None:
    job = submit(conn, 1)
    do(conn, 3, lambda tx: store.cancel(tx, job, by_uid=7, reason="x"))
    do(conn, 4, lambda tx: store.retry(tx, job, by_uid=7))
    view = store.job_view(conn, job)
    assert view is not None
    assert (view["reason"], view["message"], view["cancel_requested"]) == (None, None, False)


def test_progress_of_a_lease_that_is_not_held_is_stale(conn: store.Writer) -> None:
    submit(conn, 1)
    lease = claimed(conn).lease
    settle(conn, lease)
    for stale in (lease, 99):
        with pytest.raises(RequestError) as caught:
            do(conn, 3, lambda tx, stale=stale: store.report_progress(tx, stale, Progress(percentage=1)))
        assert caught.value.code == "stale_lease"


def test_the_view_has_every_documented_field(conn: store.Writer, reader: sqlite3.Connection) -> None:
    job = submit(conn, 1, retries=1)
    settle(conn, claimed(conn).lease, EXIT_1, dice=0.5)
    view = store.job_view(reader, job)
    assert view is not None
    assert view.pop("limits") == msgspec.to_builtins(SPEC.limits)
    (attempt,) = view.pop("attempts")
    assert view == {
        "id": job,
        "name": "file.js",
        "type": "node",
        "queue": "default",
        "priority": 0,
        "state": "scheduled",
        "reason": "exit",
        "message": "exited with code 1",
        "exit_code": 1,
        "signal": None,
        "attempt": 1,
        "retries": 1,
        "submitted_at": "1970-01-01T00:00:00.001000Z",
        "due_at": "1970-01-01T00:00:00.503000Z",
        "started_at": "1970-01-01T00:00:00.002000Z",
        "finished_at": None,
        "waiting_for": [],
        "unique_key": None,
        "progress": None,
        "result": None,
        "params": None,
        "owner_uid": 1000,
        "args": [],
        "env_names": ["KEY"],
        "network": False,
        "webhook": None,
        "findings": [],
        "cancel_requested": False,
        "cancel_reason": None,
        "losses": 0,
    }
    assert attempt == {
        "number": 1,
        "worker": "scripts/1",
        "isolation": "namespace",
        "reason": "exit",
        "exit_code": 1,
        "signal": None,
        "evidence": "exact",
        "started_at": "1970-01-01T00:00:00.002000Z",
        "finished_at": "1970-01-01T00:00:00.003000Z",
        "wall_s": 0.0,
        "cpu_s": 0.0,
        "peak_memory_bytes": 0,
        "stdout_bytes": 0,
        "stderr_bytes": 0,
        "leftover_killed": 0,
        "message": "exited with code 1",
        "truncated": False,
        "artifacts": 0,
        "enforced": {},
    }
    assert store.job_view(reader, 99) is None
    assert not reader.in_transaction


def test_lists_are_filtered_and_paged_newest_first(conn: store.Writer, reader: sqlite3.Connection) -> None:
    for number in range(1, 8):
        submit(
            conn,
            number,
            queue="a" if number % 2 else "b",
            type="node" if number < 5 else "python",
            name=f"job-{number}",
            owner_uid=1000 + (number == 3),
        )
    do(conn, 5, lambda tx: store.cancel(tx, 2, by_uid=0, reason=None))

    def ids(**changes: object) -> list[int]:
        asked = {"states": [], "queue": None, "job_type": None, "name": None, "before": None, "limit": 50}
        return [view["id"] for view in store.list_views(reader, **{**asked, **changes})]  # type: ignore[arg-type]

    assert ids() == [7, 6, 5, 4, 3, 2, 1]
    assert ids(limit=2) == [7, 6]
    assert ids(limit=2, before=6) == [5, 4]
    assert ids(states=["queued"]) == [7, 6, 5, 4, 3, 1]
    assert ids(states=["cancelled", "queued", "queued"], limit=6) == [7, 6, 5, 4, 3, 2]
    assert ids(states=["failed"]) == []
    assert ids(queue="b") == [6, 4, 2]
    assert ids(states=["queued"], queue="b", job_type="node") == [4]
    assert ids(name="job-5") == [5]
    assert ids(job_type="python") == [7, 6, 5]
    assert ids(owner_uid=1001) == [3]
    assert (
        "result"
        not in store.list_views(reader, states=[], queue=None, job_type=None, name=None, before=None, limit=1)[0]
    )


def test_small_reads(conn: store.Writer, reader: sqlite3.Connection) -> None:
    assert store.counts(reader) == dict.fromkeys(
        ("scheduled", "queued", "running", "completed", "failed", "cancelled"), 0
    )
    assert (store.last_event_id(reader), store.oldest_queued_us(reader), store.next_due_us(reader)) == (0, None, None)
    first, second = submit(conn, 1, now_us=500, queue="a"), submit(conn, 2, now_us=400, spec=JobSpec(merge=True))
    assert store.oldest_queued_us(reader) == 400
    assert (store.owner_of(reader, first), store.owner_of(reader, 99)) == (1000, None)
    assert store.states_of(reader, [first, second, 99]) == {first: "queued", second: "queued"}
    assert store.queue_counts(reader)["a"]["queued"] == 1
    assert store.attempt_of(reader, second, None) is None
    lease = claimed(conn, queues=["default"])
    assert store.attempt_of(reader, second, None) == (1, lease.lease, "running", None, None, True)
    settle(conn, lease.lease)
    assert store.attempt_of(reader, second, 1) == (1, lease.lease, "ended", 7, 0, True)
    assert store.attempt_of(reader, second, 2) is None
    events = store.events_after(reader, job=None, after=1, limit=2)
    assert [(event.id, event.job, event.kind) for event in events] == [(2, second, "submitted"), (3, second, "running")]
    assert query(reader, "SELECT id FROM jobs WHERE queue = :queue", {"queue": "a"}) == [{"id": first}]


def test_a_small_content_travels_with_the_lease(conn: store.Writer) -> None:
    submit(conn, 1)
    submit(conn, 2)
    assert claimed(conn).inline == {SHA: "YWJj"}
    assert conn.execute("SELECT count(*) FROM contents").fetchone() == (1,)


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1767323045123456, "2026-01-02T03:04:05.123456Z"),
        (253402300799999999, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_moments(us: int, text: str) -> None:
    assert store.rfc3339(us) == text
