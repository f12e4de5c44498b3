"""The command's own output: closed and slow pipes, full disks, terminals."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time

import pytest
from fake_broker import ROOT, STREAMED, job_json, wait_until
from story import output

from ctl.table import columns_of


@pytest.mark.parametrize("words", [["list"], ["logs", "42"], ["--help"], ["completion", "bash"]])
def test_a_closed_pipe_is_left_quietly(broker, start, words):
    broker.answers("list", {"jobs": [job_json(n) for n in range(1, 1000)], "next": None})
    broker.answers("logs", {"attempt": 1, "offset": 0, "size": 9, "eof": True, "data": "x" * 9, "encoding": "utf-8"})
    reader, writer = os.pipe()
    os.close(reader)
    process = start(*words, stdout=writer)
    os.close(writer)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (141, b"")


def test_a_full_disk_is_told(broker, start):
    broker.answers("list", {"jobs": [job_json()], "next": None})
    with open("/dev/full", "wb") as full:
        process = start("list", stdout=full)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 7 and err.startswith(b"workerctl: cannot write: No space left")


def test_a_full_disk_is_no_exit_code_of_the_job(accepts, start, script):
    for words in (["run"], ["submit", "--follow"]):
        with open("/dev/full", "wb") as full:
            process = start(*words, str(script), stdout=full)
            _, err = process.communicate(timeout=10)
        assert process.returncode == 125
        assert err.endswith(
            b"cannot write: No space left on device\nworkerctl: job 42 is not lost by that: `workerctl follow 42`\n"
        )


def test_a_slow_non_blocking_pipe_gets_everything(broker, start):
    data = b"0123456789" * 30_000

    def follow(request, peer):
        for offset in range(0, len(data), 50_000):
            peer.item(output(1, "stdout", 1, offset, data[offset : offset + 50_000]))
        peer.end(1)
        return STREAMED

    broker.on("follow", follow)
    broker.answers("show", job_json())
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    process = start("follow", "-q", "42", stdout=writer)
    os.close(writer)
    wait_until(lambda: broker.asked("follow"))
    got = b""
    while piece := os.read(reader, 4096):
        got += piece
    os.close(reader)
    assert (process.wait(10), got) == (0, data)


def _on_terminal(words, env=None):
    """What a command writes to a terminal."""
    master, slave = pty.openpty()
    settings = {**os.environ, "TERM": "xterm", "COLUMNS": "100", **(env or {})}
    settings = {name: value for name, value in settings.items() if value is not None}
    process = subprocess.Popen(
        [sys.executable, "-m", "ctl", *words], cwd=ROOT, stdout=slave, stderr=slave, env=settings
    )
    os.close(slave)
    shown = b""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(master)
    process.wait(10)
    return shown.decode()


def test_colours_only_where_they_are_wanted(broker):
    broker.answers("list", {"jobs": [job_json(42, "failed")], "next": None})
    plain = {"NO_COLOR": None}
    assert "\x1b[31mfailed" in _on_terminal(["list"], plain)
    assert "\x1b" not in _on_terminal(["list"], {"NO_COLOR": "1"})
    assert "\x1b" not in _on_terminal(["list"], plain | {"TERM": "dumb"})
    assert "\x1b" not in _on_terminal(["list", "--no-color"], plain)
    assert "\x1b" not in _on_terminal(["list", "--json"], plain)


def test_a_table_fits_the_terminal_and_is_whole_elsewhere(broker, ctl, monkeypatch):
    broker.answers("list", {"jobs": [job_json(43, name="日本語" * 20, message="long " * 50)], "next": None})
    lines = _on_terminal(["list"], {"COLUMNS": "80", "NO_COLOR": "1"}).splitlines()
    assert all(columns_of(line) <= 80 for line in lines) and "…" in lines[1]
    monkeypatch.setenv("COLUMNS", "80")
    assert "日本語" * 20 in ctl("list").text and "…" not in ctl("list").text


def test_submit_on_a_terminal_says_what_next(broker, script):
    broker.answers("submit", {"job": 42, "created": True, "warnings": []})
    assert "workerctl follow 42" in _on_terminal(["submit", str(script)])
    assert _on_terminal(["submit", "-q", str(script)]) == "42\r\n"


def test_run_on_a_terminal_ends_with_how_it_ended(broker, script):
    broker.answers("submit", {"job": 42, "created": True, "warnings": []})
    broker.answers("show", job_json())

    def follow(request, peer):
        peer.item(output(1, "stdout", 1, 0, b"no newline"))
        peer.end(1)
        return STREAMED

    broker.on("follow", follow)
    assert _on_terminal(["run", str(script)]) == "no newline\r\nworkerctl: job 42 completed\r\n"


def test_what_a_job_prints_is_never_a_request_where_stdout_is_closed(broker, start):
    def follow(request, peer):
        peer.item(output(1, "stdout", 1, 0, b'{"op":"stop","id":1}\n'))
        peer.end(1)
        return STREAMED

    broker.on("follow", follow)
    broker.answers("show", job_json())
    broker.answers("stop", {"state": "stopping"})
    process = start("follow", "42", stdout=None, preexec_fn=lambda: os.close(1))
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (7, b"workerctl: cannot write: Bad file descriptor\n")
    assert not broker.asked("stop")


def test_talk_is_nobodys_loss_where_stderr_is_closed(broker, start, script):
    broker.answers("submit", {"job": 42, "created": True, "warnings": ["strange"]})
    process = start("submit", str(script), stderr=None, preexec_fn=lambda: os.close(2))
    out, _ = process.communicate(timeout=10)
    assert (process.returncode, out) == (0, b"42\n")


def test_a_closed_standard_input_is_told(broker, start):
    process = start("submit", "-", preexec_fn=lambda: os.close(0))
    _, err = process.communicate(timeout=10)
    assert process.returncode == 2 and err.startswith(b"workerctl: standard input is closed")


def test_an_answer_that_breaks_the_contract_is_a_defect_and_not_a_failed_job(broker, ctl, script):
    broker.answers("submit", {"surprise": 1})
    for verb, code in (("submit", 7), ("run", 125)):
        result = ctl(verb, str(script))
        assert result.code == code and result.talk.endswith("please report it with the lines above\n")
