"""Tables: which columns, in which order, how wide, and nothing hostile in any cell."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from fake_broker import STATUS, FakeBroker, job_json
from terminal import on_terminal

from ctl.table import columns_of, cut

HOSTILE = "\x1b[2J\x1b]0;mine\x07a\nb\u202e\u200d"


WORKER = {
    "name": "scripts/1",
    "pool": "scripts",
    "state": "busy",
    "pid": 1,
    "job": 43,
    "job_name": "x",
    "job_started_at": None,
    "last_beat_s": 1.0,
    "done": 1,
    "failed": 2,
    "busy_s": 3.0,
    "restarts": 4,
    "reasons": {"SIGKILL": 4},
    "note": "",
    "cpu_s": 61.5,
    "memory_bytes": 3 << 20,
}


def jobs(*some: dict[str, Any]) -> dict[str, Any]:
    return {"jobs": [*some], "next": None}


SOME = jobs(
    job_json(9, "running", name="beta", exit_code=None, progress={"percentage": 5, "stage": None}),
    job_json(10, "failed", name="alpha", exit_code=None, signal="SIGKILL", finished_at="2026-01-02T03:04:09.000000Z"),
    job_json(11, "completed", name="gamma", progress={"percentage": 100.0, "stage": "done"}),
    job_json(12, "queued", name=None, exit_code=None),
)


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        ([], [9, 10, 11, 12]),
        (["--reverse"], [12, 11, 10, 9]),
        (["--sort", "id", "--reverse"], [12, 11, 10, 9]),
        (["--sort", "NAME"], [10, 9, 11, 12]),
        (["--sort", "name", "--reverse"], [11, 9, 10, 12]),
        (["--sort", "state"], [12, 9, 11, 10]),
        (["--sort", "exit"], [11, 10, 9, 12]),
        (["--sort", "finished"], [11, 10, 9, 12]),
        (["--sort", "progress", "--reverse"], [11, 9, 10, 12]),
    ],
)
def test_a_list_is_sorted_by_a_column_with_what_has_no_value_last(
    ctl: Callable[..., Any], broker: FakeBroker, words: list[str], ids: list[int]
) -> None:
    broker.answers("list", SOME)
    assert ctl("list", "-q", *words).text.split() == [str(number) for number in ids]
    assert [job["id"] for job in json.loads(ctl("list", "--json", *words).text)] == ids
    assert [line.split()[0] for line in ctl("list", "--no-headers", *words).text.splitlines()] == [str(n) for n in ids]


def test_wide_shows_more_columns_and_others_can_be_named(ctl: Callable[..., Any], broker: FakeBroker) -> None:
    broker.answers("list", SOME)
    usual, wide = (ctl("list", *words).text.splitlines()[0].split() for words in ([], ["-o", "wide"]))
    assert {*usual} < {*wide} and {"TYPE", "EXIT", "PROGRESS", "FINISHED"} <= {*wide} - {*usual}
    assert ctl("list", "-o", "name, id").text.splitlines()[:2] == ["NAME   ID", "beta   9"]
    for verb in ("list", "status", "workers"):
        for words in (["-o", "id,nothing"], ["--sort", "nothing"]):
            result = ctl(verb, *words)
            assert result.code == 2 and "there is no column" in result.talk and "state" in result.talk


def test_status_has_a_wide_table_of_workers_and_all_queues(ctl: Callable[..., Any], broker: FakeBroker) -> None:
    queue = {"name": "calm", "jobs": {"queued": 3}, "paused": False, "max_queued": None, "max_running": None}
    broker.answers("status", STATUS | {"queues": [queue]})
    broker.answers("list", jobs(job_json(name="long " * 50)))
    assert "calm" not in ctl("status").text and "RESTARTS" not in ctl("status").text
    wide = ctl("status", "-o", "wide").text
    assert "calm" in wide and "LAST EXIT" in wide and "FINISHED" in wide
    bare = ctl("status", "--no-headers").text
    assert "WORKER" not in bare and "MESSAGE" not in bare and "scripts/1" in bare


@pytest.mark.parametrize("columns", [120, 80, 60, 40, 30])
@pytest.mark.parametrize("verb", ["list", "status", "workers"])
def test_a_table_is_never_wider_than_the_terminal(broker: FakeBroker, verb: str, columns: int) -> None:
    broker.answers("workers", {"workers": [WORKER | {"note": "n" * 90}]})
    broker.answers("status", STATUS)
    broker.answers("list", jobs(job_json(43, "completed", name="日本語" * 20, message="é\u0301👩‍🔬" * 50)))
    with on_terminal(verb, columns=columns, NO_COLOR="1") as terminal:
        assert terminal.ends() == 0
    lines = terminal.shown.splitlines()
    assert lines and max(columns_of(line) for line in lines) <= columns
    if verb == "list" and columns >= 40:
        assert lines[1].startswith("43  completed"), "what names a job and its state is cut last"
        assert "…" in lines[1]


def test_workers_are_sorted_by_numbers_and_show_wide_what_their_jobs_use(
    ctl: Callable[..., Any], broker: FakeBroker
) -> None:
    idle = WORKER | {"name": "scripts/2", "job": None, "cpu_s": None, "memory_bytes": None, "busy_s": 200.0}
    older = {name: value for name, value in WORKER.items() if name not in ("cpu_s", "memory_bytes")}
    broker.answers("workers", {"workers": [WORKER, idle, older | {"name": "scripts/3", "busy_s": 30.0}]})
    rows = ctl("workers", "-o", "name,cpu,memory", "--sort", "busy", "--reverse", "--no-headers").text.splitlines()
    assert [row.split() for row in rows] == [
        ["scripts/2", "-", "-"],
        ["scripts/3", "-", "-"],
        ["scripts/1", "1", "min", "2", "s", "3", "MiB"],
    ]
    assert ctl("workers", "-q", "--sort", "busy").text.split() == ["scripts/1", "scripts/3", "scripts/2"]


def test_wide_is_not_cut(broker: FakeBroker) -> None:
    broker.answers("list", jobs(job_json(43, message="m" * 300)))
    with on_terminal("list", "-o", "wide", columns=80) as terminal:
        assert terminal.ends() == 0
    assert "m" * 300 in terminal.shown and "…" not in terminal.shown


def test_columns_stand_below_their_headers_also_beside_wide_letters(
    ctl: Callable[..., Any], broker: FakeBroker
) -> None:
    broker.answers("list", jobs(job_json(1, name="日本"), job_json(2, name="e\u0301"), job_json(3, name="plain name")))
    lines = ctl("list", "-o", "name,queue").text.splitlines()
    assert {columns_of(line[: line.index("QUEUE" if line.startswith("NAME") else "default")]) for line in lines} == {12}


def test_names_cannot_act_on_the_terminal(broker: FakeBroker) -> None:
    broker.answers("status", STATUS | {"workers": [STATUS["workers"][0] | {"name": HOSTILE}]})
    broker.answers("list", jobs(job_json(1, "failed", name=HOSTILE, queue=HOSTILE, message=HOSTILE)))
    for verb in ("list", "status"):
        with on_terminal(verb, columns=300, NO_COLOR="1") as terminal:
            assert terminal.ends() == 0
        assert not {"\x1b", "\x07", "\u202e", "\u200d"} & {*terminal.shown}
        assert r"\x1b[2J\x1b]0;mine\x07a\nb\u202e\u200d" in terminal.shown


def test_a_state_has_its_colour_beside_more_words_and_where_it_is_cut(broker: FakeBroker) -> None:
    broker.answers("status", STATUS | {"workers": [STATUS["workers"][1] | {"renewal": "reload"}]})
    broker.answers("list", jobs())
    with on_terminal("status") as terminal:
        assert terminal.ends() == 0
    assert "\x1b[2midle (reload due)" in terminal.shown


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("日本語", 4, "日…"),
        ("日本語", 6, "日本語"),
        ("e\u0301e\u0301", 1, "…"),
        ("ab", 0, ""),
    ],
)
def test_cut(text: str, width: int, shown: str) -> None:
    assert cut(text, width) == shown
