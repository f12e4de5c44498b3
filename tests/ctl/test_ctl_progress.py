"""The bar of `run` and `wait`: on a terminal's stderr alone, never in what the job wrote, gone at the end."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from fake_broker import STREAMED, FakeBroker, Peer, job_json
from story import event, output
from terminal import on_terminal

from supervisor.core.errors import RequestError

BAR = "job 42  █████████░░░░░░░░░░░░░░░   40 %  parsing: page 3\\x1b[2J"
ERASED = "\r\x1b[K"


def progress(
    cursor: int, percentage: float | None, stage: str | None = None, message: str | None = None
) -> dict[str, Any]:
    return event(cursor, "progress", "running", 1, percentage=percentage, stage=stage, message=message)


@pytest.fixture
def job_at_40(broker: FakeBroker) -> FakeBroker:
    """Job 42 says how far it is between two pieces of output, the second of which does not end its line."""
    broker.answers("submit", {"job": 42, "created": True, "warnings": []})
    broker.answers("show", job_json())

    def follow(request: Any, peer: Peer) -> object:
        peer.item(event(1, "running", "running", 1))
        peer.item(output(1, "stdout", 1, 0, b"first\n"))
        peer.item(progress(2, 40.0, "parsing", "page 3\x1b[2J"))
        peer.item(output(2, "stderr", 1, 0, b"warning\n"))
        peer.item(output(2, "stdout", 1, 6, b"no newline"))
        peer.item(progress(3, 80.0))
        peer.item(output(3, "stdout", 1, 16, b" yet\n"))
        peer.item(event(4, "completed", "completed", 1))
        peer.end(4)
        return STREAMED

    broker.on("follow", follow)
    return broker


def test_run_draws_the_bar_below_the_output_and_takes_it_away_at_the_end(job_at_40: FakeBroker, script: Path) -> None:
    with on_terminal("run", str(script)) as terminal:
        assert terminal.ends() == 0
    shown = terminal.shown.replace("\r\n", "\n")
    assert f"first\n{ERASED}{BAR}{ERASED}warning\n{ERASED}{BAR}" in shown
    assert f"{ERASED}no newline yet\n" in shown, "a line that has not ended is not drawn over"
    assert shown.endswith(f"  80 %{ERASED}workerctl: job 42 completed\n")


@pytest.mark.parametrize(
    ("options", "env"),
    [(["-q"], {}), (["--no-color"], {}), (["--json"], {}), ([], {"NO_COLOR": "1"}), ([], {"TERM": "dumb"})],
)
def test_there_is_no_bar_where_none_is_wanted(
    job_at_40: FakeBroker, script: Path, options: list[str], env: dict[str, str]
) -> None:
    job_at_40.on("wait", lambda request, peer: (peer.item(job_json()), peer.end(1), STREAMED)[-1])
    with on_terminal("run", *options, str(script), **env) as terminal:
        assert terminal.ends() == 0
    assert "█" not in terminal.shown and "\x1b[K" not in terminal.shown


def test_the_bar_is_never_in_a_file_nor_in_a_pipe(
    job_at_40: FakeBroker, script: Path, tmp_path: Path, start: Any
) -> None:
    process = start("run", str(script))
    assert process.communicate(timeout=20) == (b"first\nno newline yet\n", b"warning\n")
    kept = tmp_path / "out"
    command = f'exec "{sys.executable}" -m ctl run "{script}" > "{kept}"'
    with on_terminal("-c", command, program="/bin/sh") as terminal:
        assert terminal.ends() == 0
    assert kept.read_bytes() == b"first\nno newline yet\n"
    assert BAR in terminal.shown and "first" not in terminal.shown


def waiting(broker: FakeBroker) -> threading.Event:
    """`wait` that sends each job as the test goes on."""
    go_on = threading.Event()

    def wait(request: Any, peer: Peer) -> object:
        def finish() -> None:
            for job in request.jobs:
                if not go_on.wait(30):
                    return
                go_on.clear()  # before the test sees the job, and goes on again
                peer.item(job_json(job))
            peer.end(1)

        threading.Thread(target=finish, daemon=True).start()
        return STREAMED

    broker.on("wait", wait)
    return go_on


def test_wait_shows_how_far_its_one_job_is(broker: FakeBroker) -> None:
    go_on = waiting(broker)
    broker.answers("show", job_json(42, "running", progress={"percentage": 10, "stage": "begun", "message": None}))
    broker.answers("status", {"cursor": 5})
    later = threading.Event()

    def events(request: Any, peer: Peer) -> object:
        if not request.follow:
            peer.end(5)
            return STREAMED

        def tell() -> None:
            if later.wait(30):
                peer.item(progress(6, 60.0, "half"))

        threading.Thread(target=tell, daemon=True).start()
        return STREAMED

    broker.on("events", events)
    with on_terminal("wait", "42") as terminal:
        terminal.until(lambda: "10 %  begun" in terminal.shown, "what it had said before")
        later.set()
        terminal.until(lambda: "60 %  half" in terminal.shown, "what it says now")
        go_on.set()
        assert terminal.ends() == 0
    assert terminal.shown.endswith(f"60 %  half{ERASED}42  \x1b[32mcompleted\x1b[0m\r\n")


def test_wait_counts_jobs_and_does_without_events_where_it_gets_none(broker: FakeBroker) -> None:
    go_on = waiting(broker)
    broker.answers("status", RequestError("overloaded", "too much"))
    with on_terminal("wait", "42", "43") as terminal:
        terminal.until(lambda: "0 of 2 jobs are over" in terminal.shown)
        go_on.set()
        terminal.until(lambda: "1 of 2 jobs are over" in terminal.shown)
        go_on.set()
        assert terminal.ends() == 0
    assert terminal.shown.endswith("43  \x1b[32mcompleted\x1b[0m\r\n")


def test_ctrl_c_takes_the_bar_away_first(broker: FakeBroker) -> None:
    waiting(broker)
    broker.answers("status", RequestError("overloaded", "too much"))
    with on_terminal("wait", "42", "43") as terminal:
        terminal.until(lambda: "0 of 2 jobs are over" in terminal.shown)
        terminal.type("\x03")
        assert terminal.ends() == 130
    assert terminal.shown.endswith(f"{ERASED}workerctl: stopped waiting; the jobs go on\r\n")


def test_the_bar_fits_the_terminal(job_at_40: FakeBroker, script: Path) -> None:
    with on_terminal("run", str(script), columns=20) as terminal:
        assert terminal.ends() == 0
    bars = [piece for piece in terminal.shown.split("\x1b[K") if piece.startswith("job 42  ")]
    assert bars and all(len(piece.partition("\r")[0]) <= 19 for piece in bars)
