"""Many jobs at once: pages, waits, submits under way together."""

from __future__ import annotations

import threading

import pytest
from fake_broker import DROP, STREAMED, FakeBroker, job_json, waits_for

from ctl import Client, InvalidRequest, QueueFull, WaitTimeout, WorkerctlError
from supervisor.core.errors import RequestError


def test_list_goes_through_the_pages(client, broker):
    broker.on("list", _pages)
    assert [job.id for job in client.list(limit=None)] == [5, 4, 3, 2, 1]
    assert [request.before for request in broker.asked("list")] == [None, 4, 2]
    assert [request.limit for request in broker.asked("list")] == [250, 250, 250]


def test_list_stops_at_its_limit(client, broker):
    broker.on("list", _pages)
    assert [job.id for job in client.list(["failed"], "slow", limit=4)] == [5, 4, 3, 2]
    assert [(r.limit, r.states, r.queue) for r in broker.asked("list")] == [
        (4, ("failed",), "slow"),
        (2, ("failed",), "slow"),
    ]


def _pages(request, peer):
    """Five jobs, at most two a page."""
    ids = [number for number in (5, 4, 3, 2, 1) if request.before is None or number < request.before]
    page = ids[: min(2, request.limit)]
    return {"jobs": [job_json(number) for number in page], "next": page[-1] if len(ids) > len(page) else None}


def test_wait_gives_the_job_with_its_attributes(client, broker):
    broker.on("wait", waits_for(job_json(42, "failed", reason="memory_limit", attempts=[{"number": 1, "new": 1}])))
    job = client.wait(42, timeout="5s")
    assert (job.id, job.state, job.reason, job.ok, job.final) == (42, "failed", "memory_limit", False, True)
    assert job.attempts[0].number == 1 and job.attempts[0].raw["new"] == 1 and job.attempts[0].wall_s is None
    assert job.raw["limits"] == job.limits
    assert 4 < broker.asked("wait")[0].timeout_s <= 5


def test_wait_after_a_restart_asks_only_for_the_rest(client, broker):
    def first(request, peer):
        peer.item(job_json(2))
        broker.on("wait", waits_for(job_json(1), job_json(3)))
        return DROP

    broker.on("wait", first)
    assert [job.id for job in client.wait_each([1, 2, 3])] == [2, 1, 3]
    assert [request.jobs for request in broker.asked("wait")] == [(1, 2, 3), (1, 3)]


def test_wait_that_times_out(client, broker):
    broker.answers("wait", RequestError("wait_timeout", "the wait timed out"))
    with pytest.raises(WaitTimeout):
        client.wait(42, timeout=0.1)


def test_wait_has_no_limit_of_its_own(broker):
    def slow(request, peer):
        threading.Timer(0.5, peer.item, [job_json(42)]).start()
        return STREAMED

    broker.on("wait", slow)
    with Client(answer_s=0.2) as client:
        assert client.wait(42).ok


def test_submit_many_has_many_under_way_and_keeps_the_order(client, broker):
    def refuse_one(request, peer):
        if request.args == ("3",):
            raise RequestError("queue_full", "full")
        return {"job": int(request.args[0]), "created": True, "warnings": []}

    broker.on("submit", refuse_one)
    answers = client.submit_many({"source": "1", "args": [str(number)]} for number in range(1, 201))
    assert [answer.id for answer in answers if not isinstance(answer, WorkerctlError)] == [1, 2, *range(4, 201)]
    assert isinstance(answers[2], QueueFull)
    assert broker.connections == 1


def test_submit_many_repeats_only_what_was_not_answered(client, broker: FakeBroker):
    stored: dict[str, int] = {}
    countdown = [7]

    def submit(request, peer):
        created = request.request_id not in stored
        job = stored.setdefault(request.request_id, len(stored) + 1)
        countdown[0] -= 1
        return DROP if countdown[0] % 10 == 0 else {"job": job, "created": created, "warnings": []}

    broker.on("submit", submit)
    answers = client.submit_many([{"source": "1"}] * 50)
    assert sorted(answer.id for answer in answers) == list(range(1, 51))


def test_a_mistake_in_one_of_many_names_it(client, broker):
    with pytest.raises(InvalidRequest, match="job 1 of the list: --timeout"):
        client.submit_many([{"source": "1"}, {"source": "1", "timeout": "soon"}])
