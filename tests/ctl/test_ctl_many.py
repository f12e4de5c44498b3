"""Many jobs at once: pages, waits, submits under way together."""

from __future__ import annotations

import threading

import msgspec
import pytest
from fake_broker import DROP, STREAMED, FakeBroker, job_json, waits_for

from ctl import Client, InvalidRequest, QueueFull, WaitTimeout, WorkerctlError
from ctl.batch import _KINDS
from supervisor.core.errors import RequestError
from supervisor.wire.control import JobRequest


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


def test_submit_many_stores_a_thousand_a_request_in_order(client, broker):
    broker.on("submit_many", lambda request, peer: _stored(request, [int(job.args[0]) for job in request.jobs]))
    answers = client.submit_many({"source": "1", "args": [str(number)]} for number in range(1, 2502))
    assert [answer.id for answer in answers] == [*range(1, 2502)]
    assert [len(request.jobs) for request in broker.asked("submit_many")] == [1000, 1000, 501]
    assert broker.connections == 1


def test_a_request_of_many_is_never_longer_than_a_line(client, broker):
    broker.on("submit_many", lambda request, peer: _stored(request, range(1, 1 + len(request.jobs))))
    assert len(client.submit_many([{"source": "x" * 200_000}] * 11)) == 11
    assert [len(request.jobs) for request in broker.asked("submit_many")] == [5, 5, 1]


def test_one_that_is_refused_keeps_no_other_of_many_from_being_stored(client, broker):
    def refuse_one(request, peer):
        for place, job in enumerate(request.jobs):
            if job.args == ("1003",):
                raise RequestError("queue_full", "full", {"place": place})
        return _stored(request, [int(job.args[0]) for job in request.jobs])

    def submit(request, peer):
        if request.args == ("1003",):
            raise RequestError("queue_full", "full")
        return {"job": int(request.args[0]), "created": True, "warnings": []}

    broker.on("submit_many", refuse_one)
    broker.on("submit", submit)
    answers = client.submit_many({"source": "1", "args": [str(number)]} for number in range(1, 3001))
    assert [answer.id for answer in answers if not isinstance(answer, WorkerctlError)] == [
        *range(1, 1003),
        *range(1004, 3001),
    ]
    assert isinstance(answers[1002], QueueFull)


def test_many_name_earlier_ones_by_request_id_within_a_request_and_by_id_after_it(client, broker):
    broker.on("submit_many", lambda request, peer: _stored(request, [int(job.args[0]) for job in request.jobs]))
    jobs = [{"source": "1", "args": [str(number)]} for number in range(1, 1003)]
    jobs[0]["key"] = "first"
    jobs[1]["after"] = ["first", 77]
    jobs[1001]["after"] = ["first:any"]
    client.submit_many(jobs)
    sent = [job for request in broker.asked("submit_many") for job in request.jobs]
    assert [job.args for job in sent] == [(str(number),) for number in range(1, 1003)]
    assert [(one.job, one.request_id, one.condition) for one in sent[1].after] == [
        (77, None, "ok"),
        (None, sent[0].request_id, "ok"),
    ]
    assert [(one.job, one.condition) for one in sent[1001].after] == [(1, "any")]


def test_one_of_many_that_waits_for_a_refused_one_is_refused(client, broker):
    def refuse(request, peer):
        raise RequestError("blocked", "no", {"place": 0})

    broker.on("submit_many", refuse)
    broker.on("submit", refuse)
    answers = client.submit_many([{"source": "1", "key": "a"}, {"source": "2", "after": ["a"]}])
    assert [answer.code for answer in answers] == ["blocked", "not_found"]


def test_submit_many_repeats_only_what_was_not_answered(client, broker: FakeBroker):
    stored: dict[str, int] = {}
    countdown = [2]

    def submit_many(request, peer):
        ids = [stored.setdefault(job.request_id, len(stored) + 1) for job in request.jobs]
        countdown[0] -= 1
        return DROP if countdown[0] % 3 == 0 else _stored(request, ids)

    broker.on("submit_many", submit_many)
    answers = client.submit_many([{"source": "1"}] * 4500)
    assert [answer.id for answer in answers] == [*range(1, 4501)]
    assert broker.connections > 1


def _stored(request, ids):
    jobs = [{"job": job, "created": True, "existing": False, "warnings": [], "findings": 0} for job in ids]
    assert len(jobs) == len(request.jobs)
    return {"jobs": jobs}


def test_a_line_of_a_batch_may_have_every_field_of_a_submit_that_needs_no_put():
    fields = {field.encode_name for field in msgspec.structs.fields(JobRequest)}
    assert fields - {"contents", "stdin_sha256"} <= set(_KINDS)


def test_a_mistake_in_one_of_many_names_it(client, broker):
    with pytest.raises(InvalidRequest, match="job 1 of the list: --timeout"):
        client.submit_many([{"source": "1"}, {"source": "1", "timeout": "soon"}])
