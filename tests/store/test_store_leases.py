"""What becomes of leases: order, fences, releases, losses, retries."""

from __future__ import annotations

import msgspec
import pytest

from supervisor import store
from supervisor.core.errors import RequestError
from supervisor.core.job import JobSpec, Progress
from supervisor.core.outcome import Outcome
from supervisor.core.queues import QueueCaps
from supervisor.core.retry import Backoff
from tests.store.making import CANCELLED, EXIT_1, INTERRUPTED, OK, STUCK, claim, claimed, do, settle, state, submit


def _release(conn: store.Writer, lease: int, incarnation: str = "w1") -> int | None:
    return do(conn, 2500, lambda tx: store.release(tx, lease=lease, incarnation=incarnation))


def _lose(
    conn: store.Writer, started: int | None, reason: store.LossReason = "worker_lost", *, died: bool = True
) -> list[int]:
    return do(
        conn,
        2600,
        lambda tx: store.lose(tx, incarnation="w1", reason=reason, message="it died", started=started, died=died),
    )


def _view(conn: store.Writer, job: int) -> dict[str, object]:
    view = store.job_view(conn, job)
    assert view is not None
    return view


def test_claims_come_by_priority_then_due_then_id_over_all_pairs(conn: store.Writer) -> None:
    low = submit(conn, 1, now_us=100, priority=-5)
    late = submit(conn, 2, now_us=300)
    early = submit(conn, 3, now_us=200, queue="other")
    twin = submit(conn, 4, now_us=200, type="python")
    high = submit(conn, 5, now_us=400, priority=5, queue="other")
    submit(conn, 6, now_us=100, priority=9, type="shell")
    got = [claimed(conn, types=["node", "python"], incarnation=f"w{n}").job for n in range(5)]
    assert got == [high, early, twin, late, low]
    assert claim(conn, types=["node", "python"]) is None


def test_claims_take_only_the_queues_and_types_asked_for(conn: store.Writer) -> None:
    submit(conn, 1, queue="a")
    job = submit(conn, 2, queue="b")
    assert claim(conn, types=["python"]) is None
    assert claim(conn, types=[]) is None
    assert claim(conn, queues=["c"]) is None
    assert claim(conn, queues=[]) is None
    assert claimed(conn, queues=["b", "c"]).job == job


def test_a_settle_repeated_is_ok_and_has_no_effect(conn: store.Writer) -> None:
    job = submit(conn, 1, retries=3)
    lease = claimed(conn).lease
    first = settle(conn, lease, EXIT_1)
    events = store.last_event_id(conn)
    assert settle(conn, lease, EXIT_1, now_us=9000, dice=0.9) == first == (job, "scheduled", 503_000)
    assert store.last_event_id(conn) == events
    do(conn, 600_000, store.promote_due)
    assert settle(conn, lease, EXIT_1) == (job, "queued", None)


@pytest.mark.parametrize("said", [OK, EXIT_1], ids=["ok", "exit"])
def test_another_settle_of_an_ended_attempt_is_stale(conn: store.Writer, said: Outcome) -> None:
    job = submit(conn, 1)
    lease = claimed(conn).lease
    settle(conn, lease, OK)
    different = msgspec.structs.replace(said, message="something else")
    with pytest.raises(RequestError) as caught:
        settle(conn, lease, different)
    assert caught.value.code == "stale_lease"
    assert state(conn, job) == "completed"


def test_only_the_incarnation_that_holds_a_lease_may_speak_of_it(conn: store.Writer) -> None:
    job = submit(conn, 1)
    lease = claimed(conn).lease
    for call in (
        lambda: settle(conn, lease, incarnation="w2"),
        lambda: _release(conn, lease, "w2"),
        lambda: settle(conn, lease + 1),
        lambda: _release(conn, lease + 1),
    ):
        with pytest.raises(RequestError) as caught:
            call()
        assert caught.value.code == "stale_lease"
    assert state(conn, job) == "running"


def test_a_release_leaves_no_attempt_and_its_lease_is_never_used_again(conn: store.Writer) -> None:
    job = submit(conn, 1, now_us=1234)
    lease = claimed(conn)
    assert _release(conn, lease.lease) == job
    view = _view(conn, job)
    assert (view["state"], view["attempt"], view["attempts"], view["started_at"]) == ("queued", 0, [], None)
    assert view["due_at"] == store.rfc3339(1234)
    again = claimed(conn)
    assert (again.attempt, again.lease) == (1, lease.lease + 1)
    for call in (lambda: settle(conn, lease.lease), lambda: _release(conn, lease.lease)):
        with pytest.raises(RequestError) as caught:
            call()
        assert caught.value.code == "stale_lease"


def test_a_release_of_a_later_attempt_shows_the_earlier_one(conn: store.Writer) -> None:
    job = submit(conn, 1)
    settle(conn, claimed(conn, now_us=2000).lease, INTERRUPTED)
    lease = claimed(conn, now_us=8000)
    assert lease.attempt == 2
    _release(conn, lease.lease)
    view = _view(conn, job)
    assert (view["attempt"], view["started_at"], view["reason"]) == (1, store.rfc3339(2000), "interrupted")


def test_a_release_of_an_ended_attempt_is_stale(conn: store.Writer) -> None:
    submit(conn, 1)
    lease = claimed(conn).lease
    settle(conn, lease)
    with pytest.raises(RequestError) as caught:
        _release(conn, lease)
    assert caught.value.code == "stale_lease"


def test_a_release_of_a_cancelled_job_cancels_it(conn: store.Writer) -> None:
    job = submit(conn, 1)
    lease = claimed(conn).lease
    do(conn, 2100, lambda tx: store.cancel(tx, job, by_uid=7, reason="no"))
    assert _release(conn, lease) == job
    view = _view(conn, job)
    assert (view["state"], view["reason"], view["attempt"], view["attempts"]) == ("cancelled", "cancelled", 0, [])
    assert view["message"] == "cancelled before it started: no"


def test_an_interruption_keeps_its_place_and_counts_for_nothing(conn: store.Writer) -> None:
    job = submit(conn, 1, now_us=100)
    submit(conn, 2, now_us=200)
    for number in range(1, 8):
        lease = claimed(conn)
        assert (lease.job, lease.attempt) == (job, number)
        assert settle(conn, lease.lease, INTERRUPTED) == (job, "queued", None)
    assert (_view(conn, job)["losses"], _view(conn, job)["due_at"]) == (0, store.rfc3339(100))


def test_the_fourth_loss_fails_the_job(conn: store.Writer) -> None:
    job = submit(conn, 1)
    for _ in range(3):
        lease = claimed(conn).lease
        assert _lose(conn, started=lease) == [job]
        assert state(conn, job) == "queued"
    _lose(conn, started=claimed(conn).lease)
    view = _view(conn, job)
    assert (view["state"], view["reason"], view["losses"]) == ("failed", "worker_lost", 4)
    assert "poison" in str(view["message"])
    assert len(view["attempts"]) == 4  # type: ignore[arg-type]
    attempt = view["attempts"][0]  # type: ignore[index]
    assert (attempt["reason"], attempt["message"], attempt["wall_s"]) == ("worker_lost", "it died", None)


def test_on_loss_fail_ends_the_job_at_once(conn: store.Writer) -> None:
    lost, interrupted = submit(conn, 1, on_loss="fail"), submit(conn, 2, on_loss="fail")
    _lose(conn, started=claimed(conn).lease, reason="host_lost")
    settle(conn, claimed(conn).lease, INTERRUPTED)
    assert [state(conn, job) for job in (lost, interrupted)] == ["failed", "failed"]


def test_a_lost_lease_that_never_started_is_given_back_and_the_loss_counted(conn: store.Writer) -> None:
    job = submit(conn, 1, on_loss="fail")
    lease = claimed(conn).lease
    assert _lose(conn, started=lease - 1) == [job]
    view = _view(conn, job)
    assert (view["state"], view["attempts"], view["losses"]) == ("queued", [], 1)


def test_a_job_whose_worker_dies_four_times_before_it_starts_fails_without_an_attempt(conn: store.Writer) -> None:
    job = submit(conn, 1)
    for losses in range(1, 4):
        _lose(conn, started=claimed(conn).lease - 1)
        assert (state(conn, job), _view(conn, job)["losses"]) == ("queued", losses)
    _lose(conn, started=claimed(conn).lease - 1)
    view = _view(conn, job)
    assert (view["state"], view["reason"], view["losses"], view["attempts"]) == ("failed", "worker_lost", 4, [])
    assert "before it started: it died; this was loss 4 of this job, it is poison" in str(view["message"])


def test_only_the_job_that_its_worker_was_about_to_start_is_to_blame(conn: store.Writer) -> None:
    ran, prepared, in_hand = [submit(conn, number) for number in (1, 2, 3)]
    leases = [claimed(conn).lease for _ in range(3)]
    assert settle(conn, leases[0], OK)[0] == ran
    assert _lose(conn, started=leases[0]) == [prepared, in_hand]
    assert [_view(conn, job)["losses"] for job in (ran, prepared, in_hand)] == [0, 1, 0]


def test_what_a_worker_held_beside_the_job_that_it_ran_is_given_back_for_nothing(conn: store.Writer) -> None:
    ran, in_hand = submit(conn, 1), submit(conn, 2)
    lease = claimed(conn).lease
    claimed(conn)
    assert _lose(conn, started=lease) == [ran, in_hand]
    assert [_view(conn, job)["losses"] for job in (ran, in_hand)] == [1, 0]


def test_a_worker_that_left_as_it_was_told_costs_its_unstarted_job_nothing(conn: store.Writer) -> None:
    job = submit(conn, 1)
    lease = claimed(conn).lease
    assert _lose(conn, started=lease - 1, died=False) == [job]
    assert (state(conn, job), _view(conn, job)["losses"]) == ("queued", 0)


def test_a_cancelled_job_that_was_about_to_start_when_its_worker_died_is_cancelled(conn: store.Writer) -> None:
    job = submit(conn, 1)
    lease = claimed(conn).lease
    do(conn, 2100, lambda tx: store.cancel(tx, job, by_uid=7, reason=None))
    _lose(conn, started=lease - 1)
    assert (state(conn, job), _view(conn, job)["losses"]) == ("cancelled", 0)


def test_a_lost_lease_of_which_nobody_knows_counts_as_started(conn: store.Writer) -> None:
    job = submit(conn, 1)
    claimed(conn)
    _lose(conn, started=None)
    assert (state(conn, job), _view(conn, job)["losses"]) == ("queued", 1)


def test_a_loss_of_a_cancelled_job_cancels_it(conn: store.Writer) -> None:
    job = submit(conn, 1)
    lease = claimed(conn).lease
    do(conn, 2100, lambda tx: store.cancel(tx, job, by_uid=7, reason=None))
    _lose(conn, started=lease)
    assert state(conn, job) == "cancelled"


def test_a_loss_is_only_of_that_incarnation(conn: store.Writer) -> None:
    submit(conn, 1)
    submit(conn, 2)
    claimed(conn, incarnation="w1")
    claimed(conn, incarnation="w2")
    assert store.running_incarnations(conn) == ["w1", "w2"]
    assert len(_lose(conn, None)) == 1
    assert store.running_incarnations(conn) == ["w2"]
    assert _lose(conn, None) == []


def test_a_settle_after_the_loss_is_stale(conn: store.Writer) -> None:
    job = submit(conn, 1)
    lease = claimed(conn).lease
    _lose(conn, started=lease)
    with pytest.raises(RequestError) as caught:
        settle(conn, lease, OK)
    assert caught.value.code == "stale_lease"
    assert state(conn, job) == "queued"


@pytest.mark.parametrize("way", ["lose", "settle"])
def test_stuck_fails_without_another_try(conn: store.Writer, way: str) -> None:
    job = submit(conn, 1, retries=5)
    lease = claimed(conn).lease
    if way == "lose":
        _lose(conn, started=lease, reason="stuck")
    else:
        settle(conn, lease, STUCK)
    assert (state(conn, job), _view(conn, job)["reason"]) == ("failed", "stuck")


def test_what_the_worker_does_not_hold_is_taken_back(conn: store.Writer) -> None:
    first, second = submit(conn, 1), submit(conn, 2)
    held, unheld = claimed(conn).lease, claimed(conn).lease
    other = submit(conn, 3)
    claimed(conn, incarnation="w2")
    assert do(conn, 5, lambda tx: store.release_unheld(tx, incarnation="w1", holding=[held, 777])) == [second]
    assert [state(conn, job) for job in (first, second, other)] == ["running", "queued", "running"]
    assert unheld != claimed(conn).lease


def test_tries_wait_longer_and_end(conn: store.Writer) -> None:
    job = submit(conn, 1, retries=2, spec=JobSpec(backoff=Backoff(base_s=2, factor=3, cap_s=100)))
    assert settle(conn, claimed(conn).lease, EXIT_1, now_us=0, dice=0.5) == (job, "scheduled", 1_000_000)
    do(conn, 1_000_000, store.promote_due)
    assert settle(conn, claimed(conn).lease, EXIT_1, now_us=0, dice=0.5) == (job, "scheduled", 3_000_000)
    do(conn, 3_000_000, store.promote_due)
    assert settle(conn, claimed(conn).lease, EXIT_1, now_us=0, dice=0.5) == (job, "failed", None)


def test_an_absurd_backoff_is_due_at_the_end_of_time(conn: store.Writer) -> None:
    job = submit(conn, 1, retries=1, spec=JobSpec(backoff=Backoff(base_s=1e300, factor=1e300, cap_s=1e308)))
    assert settle(conn, claimed(conn).lease, EXIT_1, dice=0.9) == (job, "scheduled", 253402300799999999)
    assert store.job_view(conn, job) is not None


def test_what_may_not_be_tried_again_fails(conn: store.Writer) -> None:
    job = submit(conn, 1, retries=5)
    outcome = Outcome(reason="spawn_error", message="no such program", retryable=False)
    assert settle(conn, claimed(conn).lease, outcome) == (job, "failed", None)


def test_cancelled_without_a_cancel_is_a_failure(conn: store.Writer) -> None:
    submit(conn, 1)
    assert settle(conn, claimed(conn).lease, CANCELLED).state == "failed"


def test_a_result_is_kept_when_the_job_is_final_by_it(conn: store.Writer) -> None:
    job = submit(conn, 1, retries=1)
    settle(conn, claimed(conn).lease, EXIT_1, result=msgspec.Raw(b"1"))
    assert _view(conn, job)["result"] is None
    do(conn, 10_000_000, store.promote_due)
    settle(conn, claimed(conn).lease, OK, result=msgspec.Raw(b'{"pages":[1,2]}'), progress=Progress(percentage=100))
    view = _view(conn, job)
    assert view["result"] == {"pages": [1, 2]}
    assert view["progress"] == {"percentage": 100, "stage": None, "message": None}


@pytest.mark.parametrize("bad", [b"[" * 5000 + b"]" * 5000, b'"\\ud800"', b"1e999", b"nonsense", b"\xff"])
def test_a_result_that_cannot_be_read_again_costs_only_the_result(conn: store.Writer, bad: bytes) -> None:
    job = submit(conn, 1)
    assert settle(conn, claimed(conn).lease, OK, result=msgspec.Raw(bad)).state == "completed"
    assert _view(conn, job)["result"] is None


def test_a_new_attempt_starts_without_the_last_ones_progress(conn: store.Writer) -> None:
    job = submit(conn, 1)
    lease = claimed(conn).lease
    do(conn, 5, lambda tx: store.report_progress(tx, lease, Progress(percentage=90)))
    settle(conn, lease, INTERRUPTED)
    claimed(conn)
    assert _view(conn, job)["progress"] is None


@pytest.mark.parametrize(("told", "events"), [(80, [80, 100]), (100, [100])])
def test_the_last_progress_is_an_event_of_its_own_unless_it_was_told(
    conn: store.Writer, told: int, events: list[int]
) -> None:
    job = submit(conn, 1)
    lease = claimed(conn).lease
    do(conn, 5, lambda tx: store.report_progress(tx, lease, Progress(percentage=told)))
    settle(conn, lease, EXIT_1, progress=Progress(percentage=100))
    rows = conn.execute("SELECT kind, json_extract(data, '$.percentage') FROM events WHERE job = ? ORDER BY id", (job,))
    ended = ("submitted", None), ("running", None), *(("progress", each) for each in events), ("failed", None)
    assert rows.fetchall() == list(ended)


def test_a_result_of_one_life_does_not_stand_in_the_way_of_the_next(conn: store.Writer) -> None:
    job = submit(conn, 1)
    for value in (b"1", b"2"):
        settle(conn, claimed(conn).lease, OK, result=msgspec.Raw(value))
        assert _view(conn, job)["result"] == int(value)
        do(conn, 5, lambda tx: store.retry(tx, job, by_uid=0))


def test_the_cancels_among_what_a_worker_holds(conn: store.Writer) -> None:
    first, second, third = (submit(conn, number) for number in (1, 2, 3))
    leases = [claimed(conn).lease for _ in range(3)]
    for job in (second, third):
        do(conn, 5, lambda tx, job=job: store.cancel(tx, job, by_uid=0, reason=None))
    settle(conn, leases[2], CANCELLED)
    assert store.cancels_among(conn, [*leases, 777]) == [leases[1]]
    assert store.cancels_among(conn, []) == []
    assert state(conn, first) == "running"


def _claim_many(conn: store.Writer, most: int, **changes: object) -> list[int]:
    asked = {"sharers": 1, "types": ["node"], "queues": None, "worker": "w/1", "incarnation": "w1", "caps": {}}
    asked |= {"held_back": set(), "pool": None}
    leases = do(conn, 2000, lambda tx: store.claim_many(tx, most=most, **{**asked, **changes}))  # type: ignore[arg-type]
    return [lease.job for lease in leases]


def test_many_claims_come_in_the_order_of_single_ones(conn: store.Writer) -> None:
    low, late = submit(conn, 1, now_us=100, priority=-5), submit(conn, 2, now_us=300)
    early = submit(conn, 3, now_us=200, queue="other")
    twin = submit(conn, 4, now_us=200, type="python")
    high = submit(conn, 5, now_us=400, priority=5, queue="other")
    types = ["node", "python"]
    assert _claim_many(conn, 3, types=types) == [high, early, twin]
    assert [state(conn, job) for job in (high, early, twin, late, low)] == ["running"] * 3 + ["queued"] * 2
    assert _claim_many(conn, 9, types=types) == [late, low]
    assert _claim_many(conn, 9, types=types) == []


@pytest.mark.parametrize(
    ("most", "sharers", "got"), [(10, 1, 7), (5, 1, 5), (10, 2, 4), (10, 3, 3), (1, 3, 1), (10, 50, 1)]
)
def test_nobody_takes_more_than_his_share_of_what_waits(conn: store.Writer, most: int, sharers: int, got: int) -> None:
    for number in range(7):
        submit(conn, number)
    assert len(_claim_many(conn, most, sharers=sharers)) == got


def test_many_claims_stop_at_a_queue_s_cap_and_say_so(conn: store.Writer) -> None:
    capped = [submit(conn, number, priority=9) for number in range(4)]
    free = submit(conn, 5, queue="free")
    held_back: set[str] = set()
    caps = {"default": QueueCaps(max_running=3)}
    assert _claim_many(conn, 10, caps=caps, held_back=held_back) == [*capped[:3], free]
    assert held_back == {"default"}
    assert _claim_many(conn, 10, caps=caps) == []


def test_an_attempt_that_waited_in_its_worker_s_hand_began_when_it_began(conn: store.Writer) -> None:
    job = submit(conn, 1)
    lease = claimed(conn, now_us=1_000_000).lease
    settle(conn, lease, now_us=9_000_000, waited_s=2.5)
    view = _view(conn, job)
    assert view["started_at"] == view["attempts"][0]["started_at"] == store.rfc3339(3_500_000)  # type: ignore[index]
    assert view["finished_at"] == store.rfc3339(9_000_000)


def test_no_attempt_begins_after_its_end_whatever_its_worker_says(conn: store.Writer) -> None:
    job = submit(conn, 1)
    settle(conn, claimed(conn, now_us=2000).lease, now_us=3000, waited_s=99.0)
    assert _view(conn, job)["started_at"] == store.rfc3339(3000)
