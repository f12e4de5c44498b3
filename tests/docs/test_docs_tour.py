"""The tour is what a newcomer sees: every command is typed, every output compared; a false output would be found."""

from __future__ import annotations

import re
import tomllib
import urllib.request

import pytest

from tests.docs.likeness import MEASURED, alike, in_order
from tests.docs.pages import ROOT, fences, page
from tests.docs.transcripts import Run, Save, Says, Start, stage, steps
from tests.harness import wait_until

TEXT = page("TUTORIAL.md")
STEPS = steps(TEXT)


@pytest.mark.timeout(240)
def test_every_command_of_the_tour_prints_what_the_page_shows() -> None:
    pytest.importorskip("starlette", reason="the tour has a dashboard, which needs the extra http")
    with stage() as played:
        for step in STEPS:
            came = played.play(step)
            if isinstance(step, Run):
                assert alike(step.prints, came), _differing(step.command, step.prints, came)
            elif isinstance(step, Start | Says):
                assert in_order(step.says, came), _differing("the daemon", step.says, came)
            if step == _step("workerctl token --url"):
                _look_at_the_dashboard(played.port, came)
        assert not (played.folder / "tour").exists(), "nothing is left of the tour's folder"
        wait_until(lambda: not played.left(), 10, f"nothing left of the daemon ({played.left()})")


def _look_at_the_dashboard(port: int, came: list[str]) -> None:
    path, _, token = came[0].removeprefix("http://127.0.0.1:8080").partition("#token=")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        assert b"<!doctype html>" in answer.read(1000).lower()
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/jobs", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        assert answer.status == 200


def _step(command: str) -> Run:
    (found,) = (step for step in STEPS if isinstance(step, Run) and step.command == command)
    return found


def _differing(what: str, shown: list[str], came: list[str]) -> str:
    return "\n".join([f"{what}: the page shows", *shown, "but what came is", *came, "(see tests/docs/transcripts.py)"])


def test_the_tour_goes_through_all_that_its_first_lines_promise() -> None:
    commands = " \n".join(step.command for step in STEPS if isinstance(step, Run))
    for needed in ("run ", "--memory", "--timeout", "explain", "--retries", "follow", "token --url", "upgrade", "stop"):
        assert f"workerctl {needed}" in commands or f" {needed} " in commands, needed
    assert {step.name for step in STEPS if isinstance(step, Save)} >= {"config.toml", "hello.js", "shop.py"}
    assert sum(isinstance(step, Start) for step in STEPS) == 1


def test_the_installation_is_what_ci_runs_and_what_there_is_to_install() -> None:
    (installation,) = (block for block in fences(TEXT, "sh") if not block.startswith("# "))
    first, second = installation.splitlines()
    assert first == "packaging/try" and f"step {first}\n{first}" in (ROOT / ".ci" / "run").read_text()
    (extra,) = re.findall(r"^\.venv/bin/pip install --editable '\.\[(\w+)\]'$", second)
    assert extra in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


FALSE = [
    ("workerctl run hello.js", "job 1", "job 2"),
    ("workerctl run hello.js", "completed", "failed"),
    ("workerctl show 2", "completed (ok)", "completed (exit)"),
    ("workerctl show 2", "memory 512 MiB", "memory 256 MiB"),
    ("workerctl show 2", "stdout 17 B", "stdout 18 B"),
    ("workerctl show 2", "exit code 0", "exit code 1"),
    ("workerctl show 2", "evidence exact", "evidence text"),
    ('workerctl run greedy.js --memory 128M; echo "exit code $?"', "128 MiB", "64 MiB"),
    ('workerctl run greedy.js --memory 128M; echo "exit code $?"', "exit code 137", "exit code 143"),
    ('workerctl run nap.sh --timeout 500ms; echo "exit code $?"', "500 ms", "600 ms"),
    ("workerctl explain 3", "of 10 min, CPU", "of 20 min, CPU"),
    ("workerctl explain 3", "of 128 MiB", "of 256 MiB"),
    ("workerctl explain 3", "--memory 256M", "--memory 512M"),
    ("workerctl explain 3", "attempt 1 on", "attempt 2 on"),
    ("workerctl explain 3", "sampled every 50 ms", "sampled every 10 ms"),
    ("workerctl show 6", "attempt 2: exit", "attempt 2: signal"),
    ("workerctl follow 7", "25 %", "50 %"),
    ("workerctl follow 7", "running, attempt 1", "running, attempt 2"),
    ("workerctl follow 7", "jobs of this process: 1", "jobs of this process: 2"),
    ("workerctl token --url", ":8080/", ":8081/"),
    ("workerctl upgrade --wait", "are replaced", "are not replaced"),
    ("workerctl wait $(cat jobs) | grep -c completed", "20", "19"),
    ("workerctl show 11 | grep attempt", "attempt 1: ok", "attempt 1: worker_lost"),
]


@pytest.mark.parametrize(("command", "true", "false"), FALSE, ids=[f"{false}" for _, _, false in FALSE])
def test_a_false_output_would_be_found(command: str, true: str, false: str) -> None:
    shown = _step(command).prints
    came = "\n".join(shown).replace(true, false, 1).splitlines()
    assert came != shown, "the page has it"
    assert not alike(shown, came)
    assert not alike(shown, [*shown, "and a line more"])
    assert not alike(shown, shown[:-1])


@pytest.mark.parametrize(
    ("shown", "came"),
    [
        ("ready socket=/s pid=4711", "ready socket=/s pid=12"),
        ("  submitted    2026-11-24 11:39:36.587 (0 s ago)", "  submitted    2027-01-01 00:00:00.000 (12 s ago)"),
        (
            "wall 29 ms, cpu 12 ms, peak memory 40.15 MiB, stdout 17 B",
            "wall 1 s, cpu 1 s, peak memory 7.5 MiB, stdout 17 B",
        ),
        ("ok  on scripts/1, isolation namespace, exit code 0", "ok  on scripts/2, isolation plain, exit code 0"),
        ("It failed after 786 ms, reason exit: x", "It failed after 1 min 2.5 s, reason exit: x"),
        ("http://127.0.0.1:8080/#token=" + "a" * 43, "http://127.0.0.1:8080/#token=" + "b-_" * 14 + "c"),
    ],
    ids=["pid", "moment", "use", "slot", "time", "token"],
)
def test_what_was_measured_may_differ(shown: str, came: str) -> None:
    assert alike([shown], [came])


def test_left_out_lines_are_one_or_more_and_what_follows_them_is_compared() -> None:
    assert alike(["a", "…", "z"], ["a", "b", "c", "z"])
    assert not alike(["a", "…", "z"], ["a", "z"])
    assert not alike(["a", "…", "z"], ["a", "b", "y"])
    assert in_order(["b", "d"], ["a", "b", "c", "d"]) and not in_order(["d", "b"], ["a", "b", "c", "d"])


def test_each_pattern_of_what_is_measured_is_needed_by_the_page() -> None:
    collapsed = "\n".join(re.sub(r" {2,}", "  ", line) for line in TEXT.splitlines())
    assert [pattern.pattern for pattern in MEASURED if not pattern.search(collapsed)] == []
