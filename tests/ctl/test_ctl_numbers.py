"""Numbers that are none, or too large for anything, and options that say nothing where they stand: refused, in words."""

from __future__ import annotations

import json

import pytest
from fake_broker import job_json

from ctl.errors import InvalidRequest
from ctl.submission import submit_fields

LONG = "9" * 5000
"""Python makes no number of so many digits."""


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["show", LONG], 3, "there is no job 999"),
        (["show", "9" * 20], 3, "there is no job 999"),
        (["cancel", "9007199254740993"], 3, "there is no job 9007199254740993"),
        (["show", "0"], 2, "'0' is no job"),
        (["show", "٣"], 2, "is no job"),
        (["logs", "1", "--tail", LONG], 2, "is not a whole number from 0 on"),
        (["logs", "1", "--attempt", "0"], 2, "--attempt: '0' is not a whole number from 1 on"),
        (["logs", "1", "--attempt", "9" * 30], 2, "is not a whole number from 1 on"),
        (["artifacts", "1", "--attempt", LONG], 2, "is not a whole number from 1 on"),
        (["list", "--limit", LONG], 2, "is not a whole number from 1 on"),
        (["list", "--limit", "0"], 2, "--limit: '0' is not a whole number from 1 on"),
        (["events", "--after", LONG], 2, "is not a whole number from 0 on"),
        (["events", "--limit", "10001"], 2, "--limit: '10001' is not a whole number from 0 to 10000"),
        (["scale", "scripts", "1025"], 2, "is not a whole number from 0 to 1024"),
        (["scale", "scripts", LONG], 2, "is not a whole number from 0 to 1024"),
        (["submit", "FILE", "--after", LONG], 3, "there is no job 999"),
        (["submit", "FILE", "--retries", "1_0"], 2, "--retries: '1_0' is not a whole number"),
        (["list", "--all", "--limit", "1"], 2, "not allowed with"),
        (["restart", "--timeout", "1m"], 2, "--timeout says how long to wait: it goes with --wait"),
        (["restart", "--wait", "--timeout", "soon"], 2, "--timeout: 'soon' is not a duration"),
        (["scale", "scripts", "2", "--timeout", "1m"], 2, "it goes with --wait"),
        (["upgrade", "--timeout", "1m"], 2, "it goes with --wait"),
        (["drain", "--end", "--timeout", "1m"], 2, "it goes without --timeout"),
        (["drain", "--timeout", "soon"], 2, "--timeout: 'soon' is not a duration"),
        (["token", "--role", "webhook", "--url"], 2, "the key of webhooks is none"),
        (["submit", "FILE", "--on-conflict", "refuse"], 2, "it goes with --unique KEY"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_what_cannot_be_meant_is_refused_before_anything_is_asked(ctl, broker, script, words, code, message):
    result = ctl(*(str(script) if word == "FILE" else word for word in words))
    assert (result.code, result.out) == (code, b"")
    assert message in result.talk
    assert "Traceback" not in result.talk
    assert broker.requests == []


@pytest.mark.parametrize("value", [1.9, "1.0", "", "ten"])
def test_a_number_of_a_python_caller_is_not_rounded(value):
    with pytest.raises(InvalidRequest, match=r"--retries: .* is not a whole number"):
        submit_fields({"retries": value})


def test_a_sign_is_a_part_of_a_priority():
    assert submit_fields({"priority": "-5", "retries": 2}) == {"priority": -5, "retries": 2}


def test_workers_are_sorted_as_json_too(ctl, broker):
    workers = [{"name": name, "state": "idle", "done": done} for name, done in (("a", 2), ("b", 3), ("c", 1))]
    broker.answers("workers", {"workers": workers})
    result = ctl("workers", "--json", "--sort", "done", "--reverse")
    assert [worker["name"] for worker in json.loads(result.out)] == ["b", "a", "c"]


def test_the_main_script_of_a_folder_that_cannot_be_read_is_named(ctl, broker):
    broker.answers("show", job_json(1))
    result = ctl("submit", "--main", "mem", "/proc/self")
    assert (result.code, result.out) == (2, b"")
    assert "cannot read /proc/self/mem: input/output error" in result.talk


def test_a_folder_for_artifacts_that_cannot_be_made_is_named(ctl, broker):
    broker.answers("artifacts", {"attempt": 1, "ended": True, "artifacts": [], "next": None})
    result = ctl("artifacts", "1", "--all", "/proc/none/x")
    assert (result.code, result.out) == (2, b"")
    assert "/proc/none/x: No such file or directory" in result.talk
