"""The verbs that look and act, against the fake broker: stdout, stderr and exit code."""

from __future__ import annotations

import json

import pytest
from fake_broker import STATUS, job_json, waits_for
from story import Story

from supervisor.core.errors import RequestError


def test_status(ctl, broker):
    broker.answers("status", STATUS)
    broker.answers("list", {"jobs": [job_json(43, "queued"), job_json(42, "running")], "next": 42})
    result = ctl()
    assert result.code == 0 and "\x1b" not in result.text
    assert "running  pid 4711  up 2 h 5 min  isolation namespace" in result.text
    assert "3 queued" in result.text and "scripts/1  busy   4712  42" in result.text
    assert json.loads(ctl("--json").out) == STATUS
    assert ctl("status", "-q").out == b"42\n"


def test_status_of_jobs(ctl, broker):
    broker.on("show", lambda request, peer: job_json(request.job))
    broker.answers("list", {"jobs": [job_json(9)], "next": None})
    assert [job["id"] for job in json.loads(ctl("status", "3", "@last", "--json").out)] == [3, 9]
    assert ctl("status", "3", "-q").out == b"3\n"


def test_list(ctl, broker):
    broker.answers("list", {"jobs": [job_json(43, "failed", message="a" * 300), job_json(7)], "next": None})
    lines = ctl("list").text.splitlines()
    assert lines[0].split()[:4] == ["ID", "STATE", "REASON", "NAME"] and len(lines) == 3
    assert ctl("list", "--no-headers", "-o", "id,state").text == "43  failed\n7   completed\n"
    assert ctl("list", "-q").out == b"43\n7\n"
    assert [job["id"] for job in json.loads(ctl("list", "--json").out)] == [43, 7]
    broker.answers("list", {"jobs": [], "next": None})
    assert (ctl("list").out, ctl("list", "-q").err, ctl("list", "--json").out) == (b"", b"", b"[]\n")


def test_result(ctl, broker):
    broker.answers("show", job_json(42, result={"rows": [1, 2]}))
    assert ctl("result", "42").out == b'{"rows":[1,2]}\n'
    broker.answers("show", job_json(42, "running"))
    result = ctl("result", "42")
    assert (result.code, result.out) == (0, b"null\n") and "may still come" in result.talk


def test_wait(ctl, broker):
    broker.on("wait", waits_for(job_json(2), job_json(1)))
    result = ctl("wait", "1", "2")
    assert (result.code, result.text) == (0, "2  completed\n1  completed\n")
    failed = job_json(1, "failed", message="it exited with code 1")
    broker.on("wait", waits_for(job_json(2), failed))
    result = ctl("wait", "1", "2")
    assert (result.code, result.text) == (1, "2  completed\n1  failed  exit: it exited with code 1\n")
    assert ctl("wait", "-q", "1", "2").out == b"2\n1\n"
    assert [json.loads(line) for line in ctl("wait", "--json", "1", "2").out.splitlines()] == [job_json(2), failed]
    broker.answers("wait", RequestError("wait_timeout", "the wait timed out after 1 s"))
    assert ctl("wait", "--timeout", "1s", "1").code == 124
    assert ctl("wait", "--timeout", "x", "1").code == 2


def test_cancel_goes_on_after_a_failure_and_exits_with_the_first_one(ctl, broker):
    refusals = {2: RequestError("not_found", "no 2"), 3: RequestError("wrong_state", "3 is completed")}

    def cancel(request, peer):
        if request.job in refusals:
            raise refusals[request.job]
        return {"state": "cancelled"}

    broker.on("cancel", cancel)
    result = ctl("cancel", "1", "2", "3", "4", "--reason", "enough")
    assert (result.code, result.text) == (3, "1  cancelled\n4  cancelled\n")
    assert result.talk == "workerctl: no 2\nworkerctl: 3 is completed\n"
    assert {request.reason for request in broker.asked("cancel")} == {"enough"}
    assert ctl("cancel", "3").code == 4
    result = ctl("cancel", "--json", "1", "3")
    assert (result.code, json.loads(result.out)) == (4, [{"job": 1, "state": "cancelled"}])
    assert ctl("cancel", "-q", "1").out == b"1\n"


def test_cancel_wait_returns_when_the_tree_is_gone(ctl, broker):
    broker.answers("cancel", {"state": "running"})
    broker.on("wait", waits_for(job_json(1, "cancelled")))
    assert ctl("cancel", "--wait", "1").code == 0
    assert broker.asked("wait")[0].jobs == (1,)


@pytest.mark.parametrize(
    ("verb", "states"), [("cancel", ("scheduled", "queued", "running")), ("retry", ("failed", "cancelled"))]
)
def test_jobs_chosen_by_what_they_are(ctl, broker, verb, states):
    broker.answers("list", {"jobs": [job_json(5, states[0]), job_json(4, states[0])], "next": None})
    broker.on("show", lambda request, peer: job_json(request.job, states[0]))
    broker.answers(verb, {"state": "queued"}, RequestError("wrong_state", "too late"))
    result = ctl(verb, "--queue", "slow", "--dry-run")
    assert (result.code, result.text) == (0, f"5  {states[0]}\n4  {states[0]}\n") and not broker.asked(verb)
    result = ctl(verb, "--queue", "slow")
    assert (result.code, result.text, result.err) == (0, "5  queued\n", b"")
    assert broker.asked("list")[0].states == states
    ctl(verb, "--state", "failed")
    assert broker.asked("list")[-1].states == ("failed",)
    assert ctl(verb, "--state", "failed").talk == "workerctl: none of the 2 is in a state that allows it\n"
    broker.requests.clear()
    for words in ([], ["5", "--queue", "slow"], ["--state", "odd"], ["--state", ""], ["--state", "failed,"]):
        assert ctl(verb, *words).code == 2 and not broker.asked(verb)


def test_retry(ctl, broker):
    broker.answers("show", job_json(42, "failed"))
    broker.answers("retry", {"state": "queued"})
    assert ctl("retry", "42").out == b"42  queued\n"


@pytest.mark.parametrize("verb", ["show", "explain", "logs", "follow", "result", "wait", "cancel", "retry", "status"])
def test_what_is_no_job(ctl, broker, verb):
    broker.answers("list", {"jobs": [], "next": None})
    for word in ("0", "-0", "x", "1.5", "٣", "@first"):
        assert ctl(verb, word).code == 2
    result = ctl(verb, "@last")
    assert result.code == 3 and "no job yet" in result.talk


def test_health(ctl, broker):
    broker.answers("health", {"status": "healthy", "reasons": []})
    assert (ctl("health").code, ctl("health").out, ctl("health", "-q").out) == (0, b"healthy\n", b"")
    broker.answers("health", {"status": "degraded", "reasons": ["the disk is full"]})
    result = ctl("health")
    assert (result.code, result.text) == (1, "degraded\n  the disk is full\n")
    assert json.loads(ctl("health", "--json").out)["reasons"] == ["the disk is full"]


def test_stop(ctl, broker):
    broker.answers("stop", {"state": "stopping"})
    assert (ctl("stop").out, ctl("stop", "--json").out) == (b"stopping\n", b'{"state":"stopping"}\n')


def test_follow(ctl, accepts):
    story = Story()
    result = ctl("follow", "42")
    assert (result.code, result.out) == (0, story.stdout)
    assert b"workerctl: job 42: running, attempt 1\n" in result.err and story.stderr in result.err
    quiet = ctl("follow", "-q", "42")
    assert (quiet.out, quiet.err) == (story.stdout, story.stderr)
    accepts.answers("show", job_json(42, "failed"))
    assert ctl("follow", "42").code == 1
    lines = [json.loads(line) for line in ctl("follow", "--json", "42").out.splitlines()]
    assert [line["event"] for line in lines if "event" in line][-1] == "completed"
    assert any(line.get("encoding") == "base64" for line in lines)
