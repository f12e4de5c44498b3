"""`run` and `submit`: output, the last line, exit codes, refusals."""

from __future__ import annotations

import json

import pytest
from fake_broker import job_json, waits_for
from story import Story

from supervisor.core.errors import RequestError
from supervisor.core.names import CODES


def test_run_copies_byte_for_byte(ctl, accepts, script):
    story = Story()
    result = ctl("run", str(script))
    assert (result.code, result.out, result.err) == (0, story.stdout, story.stderr)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"state": "completed"}, 0),
        ({"state": "failed", "reason": "exit", "exit_code": 7}, 7),
        ({"state": "failed", "reason": "exit", "exit_code": 255}, 255),
        ({"state": "failed", "reason": "memory_limit", "exit_code": None, "signal": "SIGKILL"}, 137),
        ({"state": "failed", "reason": "signal", "exit_code": None, "signal": "SIGSEGV"}, 139),
        ({"state": "failed", "reason": "timeout", "exit_code": None, "signal": "SIGTERM"}, 143),
        ({"state": "failed", "reason": "signal", "exit_code": None, "signal": "SIGRTMIN+3"}, 128 + 37),
        ({"state": "failed", "reason": "timeout", "exit_code": 0}, 1),
        ({"state": "failed", "reason": "spawn_error", "exit_code": None}, 125),
        ({"state": "failed", "reason": "worker_lost", "exit_code": None}, 125),
        ({"state": "cancelled", "reason": "cancelled", "exit_code": None}, 125),
        ({"state": "cancelled", "reason": "cancelled", "exit_code": 3}, 3),
    ],
)
def test_exit_code_of_run_and_the_reason_as_last_line(ctl, accepts, script, changes, code):
    job = job_json(42, **({"message": "because"} | changes))
    accepts.answers("show", job)
    accepts.on("wait", waits_for(job))
    result = ctl("run", str(script))
    assert result.code == code
    if code:
        assert result.talk.splitlines()[-1].startswith(f"workerctl: job 42 {job['state']}")
        assert result.talk.endswith("because\n")
    assert ctl("submit", "--wait", str(script)).code == code
    assert ctl("submit", "--follow", str(script)).code == code


def test_the_reason_begins_a_line_of_its_own(ctl, accepts, script):
    story = Story()
    story.err = {1: b"no newline", 2: b""}
    accepts.on("follow", story)
    accepts.answers("show", job_json(42, "failed", message="it exited with code 1"))
    assert ctl("run", str(script)).err == b"no newline\nworkerctl: job 42 failed: exit: it exited with code 1\n"


@pytest.mark.parametrize("code", [code for code in CODES if code != "outcome_unknown"])
def test_a_refusal_is_125_for_run_and_its_own_code_for_submit(ctl, broker, script, code):
    broker.answers("submit", RequestError(code, "no: it cannot be"))
    result = ctl("submit", str(script))
    assert (result.code, result.out, result.talk) == (CODES[code].exit_status, b"", "workerctl: no: it cannot be\n")
    for words in (["run"], ["submit", "--wait"], ["submit", "--follow"]):
        result = ctl(*words, str(script))
        assert (result.code, result.out, result.talk) == (125, b"", "workerctl: no: it cannot be\n")


def test_no_daemon(ctl, script, tmp_path):
    words = ["--socket", str(tmp_path / "none")]
    assert ctl(*words, "submit", str(script)).code == 5
    assert ctl(*words, "run", str(script)).code == 125
    assert ctl(*words).code == 5
    result = ctl("health", *words)
    assert (result.code, result.out) == (5, b"")
    assert str(tmp_path / "none") in result.talk and len(result.talk.splitlines()) == 2


def test_run_json_is_the_final_job_and_nothing_else(ctl, accepts, script):
    job = job_json(42, "failed", exit_code=3)
    accepts.on("wait", waits_for(job))
    accepts.answers("show", job)
    result = ctl("run", "--json", str(script))
    assert (result.code, json.loads(result.out)) == (3, job)
    assert result.talk.startswith("workerctl: job 42 failed")


def test_submit_prints(ctl, accepts, script):
    assert ctl("submit", str(script)).out == b"42\n"
    assert ctl("submit", "-q", str(script)).out == b"42\n"
    assert json.loads(ctl("submit", "--json", str(script)).out) == job_json()
    accepts.on("wait", waits_for(job_json()))
    assert ctl("submit", "--wait", str(script)).out == b"42\n"
    accepts.answers("submit", {"job": 42, "created": True, "warnings": ["no pool takes perl"]})
    assert ctl("submit", str(script)).err == b"workerctl: warning: no pool takes perl\n"


def test_submit_follow_has_only_the_jobs_bytes_on_stdout(ctl, accepts, script):
    result = ctl("submit", "--follow", str(script))
    assert result.out == Story().stdout
    assert result.err.startswith(b"workerctl: job 42\n")


def _finding(line: int) -> dict[str, object]:
    return {"line": line, "rule": "eval", "message": "runs text as code"}


def test_findings_of_the_code_check_go_to_stderr_five_at_most(ctl, accepts, script):
    findings = [_finding(line) for line in range(1, 8)]
    accepts.answers("submit", {"job": 42, "created": True, "warnings": ["w"], "findings": findings})
    result = ctl("submit", str(script))
    assert result.out == b"42\n"
    assert result.talk.splitlines() == [
        "workerctl: warning: w",
        *(f"workerctl: check: line {line}: eval: runs text as code" for line in range(1, 6)),
        "workerctl: check: … 2 more: `workerctl show 42` has all",
    ]
    assert ctl("submit", "-q", str(script)).talk == ""
    assert "check: line 1: eval" in ctl("run", str(script)).talk


def test_show_has_all_findings(ctl, broker):
    broker.answers("show", job_json(42, findings=[_finding(line) for line in range(1, 8)]))
    assert "  code check   line 7: eval: runs text as code" in ctl("show", "42").text
