"""`workers`, `stats` and `events`: what they print, and that following resumes behind what was seen."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from fake_broker import DROP, STREAMED, FakeBroker, Peer, said

from ctl import Client

WORKER = {
    "name": "scripts/1",
    "pool": "scripts",
    "state": "idle",
    "pid": 4712,
    "job": None,
    "job_name": None,
    "job_started_at": None,
    "last_beat_s": 2.04,
    "done": 12,
    "failed": 3,
    "busy_s": 754.25,
    "restarts": 4,
    "reasons": {"exit 6": 1, "SIGKILL": 2, "hung": 1},
    "note": "",
}
GONE = WORKER | {"name": "scripts/9", "state": "gone", "pid": None, "last_beat_s": None}
JOBS = {"scheduled": 0, "queued": 1, "running": 2, "completed": 3, "failed": 4, "cancelled": 5}
STATS = {
    "at": "2026-01-02T03:04:05.123456Z",
    "jobs": JOBS,
    "queues": [{"queue": "default", "jobs": JOBS}],
    "pools": [
        {"pool": "scripts", "workers": {"idle": 2}, "done": 12, "failed": 3, "busy_s": 75.5, "restarts": 4},
        {"pool": "old", "workers": {}, "done": 1, "failed": 0, "busy_s": 0.0, "restarts": 0},
    ],
    "finished": {
        "last_minute": {"completed": 1, "failed": 0, "cancelled": 0},
        "last_hour": {"completed": 60, "failed": 7, "cancelled": 1},
    },
    "times": {
        "of_jobs": 67,
        "wait_s": {"p50": 0.012, "p95": 1.5, "max": 9.0},
        "run_s": {"p50": None, "p95": None, "max": None},
    },
    "failures": [{"reason": "exit", "jobs": 6}, {"reason": "timeout", "jobs": 1}],
}


def event(cursor: int, kind: str = "submitted", job: int | None = 42, **data: Any) -> dict[str, Any]:
    return {
        "cursor": cursor,
        "event": kind,
        "job": job,
        "at": "2026-01-02T03:04:05.123456Z",
        "state": None if job is None else "queued",
        "attempt": None,
        "data": data,
    }


def test_workers_are_a_table_with_their_restarts_by_reason(ctl: Callable[..., Any], broker: FakeBroker) -> None:
    broker.answers("workers", {"workers": [WORKER, GONE]})
    header, row = ctl("workers").text.splitlines()
    assert header.split()[:8] == ["NAME", "POOL", "STATE", "JOB", "DONE", "FAILED", "BUSY", "RESTARTS"]
    assert row.split("  ")[0] == "scripts/1"
    assert "12 min 34 s" in row and "4 (SIGKILL 2, exit 6, hung)" in row and "2.04 s ago" in row
    assert len(ctl("workers", "--all").text.splitlines()) == 3
    assert ctl("workers", "-q").text == "scripts/1\n"
    assert json.loads(ctl("workers", "--json").text) == [WORKER, GONE]


def test_a_busy_worker_shows_its_job_and_since_when(ctl: Callable[..., Any], broker: FakeBroker) -> None:
    started = "2026-01-02T03:04:05.123456Z"
    broker.answers("workers", {"workers": [WORKER | {"state": "busy", "job": 42, "job_started_at": started}]})
    assert "  42 (" in ctl("workers", "--no-headers").text


def test_stats_are_small_tables(ctl: Callable[..., Any], broker: FakeBroker) -> None:
    broker.answers("stats", STATS)
    text = ctl("stats").text
    rows = [line.split() for line in text.splitlines() if line]
    assert ["default", "0", "1", "2", "3", "4", "5"] in rows
    assert "scripts (2 idle)" in text and "old (gone)" in text
    assert ["last", "hour", "60", "7", "1"] in rows
    assert ["OF", "67", "JOBS", "P50", "P95", "MAX"] in rows
    assert ["waited", "12", "ms", "1.5", "s", "9", "s"] in rows and ["ran", "-", "-", "-"] in rows
    assert ["timeout", "1"] in rows
    assert json.loads(ctl("stats", "--json").text) == STATS


def test_stats_of_several_queues_have_a_sum_and_no_failures_are_said(
    ctl: Callable[..., Any], broker: FakeBroker
) -> None:
    queues = [{"queue": name, "jobs": JOBS} for name in ("a", "b")]
    broker.answers("stats", STATS | {"queues": queues, "failures": []})
    text = ctl("stats").text
    assert "\nall " in text and "no job failed in the last 24 hours" in text


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ([], {"limit": 50}),
        (["--limit", "3"], {"limit": 3}),
        (["--after", "7"], {"after": 7}),
        (["--after", "7", "--limit", "3"], {"after": 7, "limit": 3}),
        (["--job", "42"], {"job": 42, "limit": 50}),
    ],
)
def test_events_ask_for_what_was_meant(
    ctl: Callable[..., Any], broker: FakeBroker, words: list[str], asked: dict[str, int]
) -> None:
    broker.on("events", stream(event(8)))
    assert ctl("events", *words, "-q").text == "8\n"
    assert [said(request) for request in broker.asked("events")] == [asked]


@pytest.mark.parametrize("words", [["--after", "x"], ["--limit", "-1"], ["-f", "--after", "1", "--limit", "2"]])
def test_what_makes_no_sense_is_refused(ctl: Callable[..., Any], broker: FakeBroker, words: list[str]) -> None:
    result = ctl("events", *words)
    assert result.code == 2
    assert words[-2] in result.talk
    assert broker.asked("events") == []


def test_lines_name_the_job_the_worker_or_the_daemon_and_nothing_hostile(
    ctl: Callable[..., Any], broker: FakeBroker
) -> None:
    broker.on(
        "events",
        stream(
            event(1, "daemon_started", None, message="version 1, pid 7"),
            event(2, "worker_died", None, worker="scripts/2", reason="SIGKILL", message="ended by SIGKILL"),
            event(3, "failed", 42, reason="exit", message="said \x1b[31mred"),
            event(4, "submitted", 43, name="a.js"),
            event(5, "running", 43, worker="scripts/2"),
        ),
    )
    told = [line.split("  ")[-1].strip() for line in ctl("events").text.splitlines()]
    assert [line.partition(" ")[2] if line[0].isdecimal() else line for line in told] == [
        "daemon: daemon_started, version 1, pid 7",
        "worker scripts/2: worker_died, SIGKILL, ended by SIGKILL",
        "job 42: failed, exit, said \\x1b[31mred",
        "job 43: submitted, a.js",
        "job 43: running, scripts/2",
    ]


def test_a_follower_begins_before_it_looks_and_resumes_behind_what_it_saw(client: Client, broker: FakeBroker) -> None:
    broker.answers("status", {"cursor": 20})
    breaks = iter([True, False])

    def events(request: Any, peer: Peer) -> Any:
        if not request.follow:
            peer.item(event(19))
            peer.item(event(23))
            peer.end(23)
            return STREAMED
        peer.item(event(request.after + 1))
        if next(breaks):
            return DROP
        peer.end()
        return STREAMED

    broker.on("events", events)
    assert [event.cursor for event in client.events(limit=2, follow=True)] == [19, 23, 24, 25]
    first, *others = [said(request) for request in broker.asked("events")]
    assert first == {"limit": 2}
    assert others == [{"after": 23, "follow": True}, {"after": 24, "follow": True}]


def test_a_broken_look_at_the_past_asks_for_the_rest_alone(client: Client, broker: FakeBroker) -> None:
    answers = iter([[8, 9], [10]])

    def events(request: Any, peer: Peer) -> Any:
        some = next(answers)
        for cursor in some:
            peer.item(event(cursor))
        if len(some) > 1:
            return DROP
        peer.end(10)
        return STREAMED

    broker.on("events", events)
    assert [event.cursor for event in client.events(after=7, limit=3)] == [8, 9, 10]
    assert [said(request) for request in broker.asked("events")] == [{"after": 7, "limit": 3}, {"after": 9, "limit": 1}]


def stream(*items: dict[str, Any]) -> Callable[[Any, Peer], Any]:
    def handler(request: Any, peer: Peer) -> Any:
        for item in items:
            peer.item(item)
        peer.end(items[-1]["cursor"])
        return STREAMED

    return handler
