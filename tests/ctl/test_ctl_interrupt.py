"""Ctrl-C: it cancels what is being run, and only detaches from what is watched."""

from __future__ import annotations

import select
import signal
import subprocess
import threading

import pytest
from fake_broker import STREAMED, job_json, wait_until
from story import event, output


def _endless(broker, *items):
    """A `follow` that sends `items` and then nothing until the job is cancelled."""
    cancelled = threading.Event()

    def follow(request, peer):
        for item in items:
            peer.item(item)

        def finish():
            if not cancelled.wait(20):
                return
            peer.item(output(2, "stdout", 1, 4, b"last words\n"))
            peer.item(event(9, "cancelled", "cancelled", 1))
            peer.end(9)

        threading.Thread(target=finish, daemon=True).start()
        return STREAMED

    def cancel(request, peer):
        cancelled.set()
        return {"state": "running"}

    broker.on("follow", follow)
    broker.on("cancel", cancel)
    return cancelled


@pytest.fixture
def running(broker):
    """A job 42 that runs until it is cancelled."""
    broker.answers("submit", {"job": 42, "created": True, "warnings": []})
    broker.answers("show", job_json(42, "cancelled", signal="SIGTERM"))
    _endless(broker, event(1, "running", "running", 1), output(1, "stdout", 1, 0, b"out\n"))
    return broker


def test_output_is_there_at_once(running, start, script):
    process = start("run", str(script))
    assert process.stdout.readline() == b"out\n"
    assert process.poll() is None


def test_ctrl_c_in_run_cancels_and_shows_the_rest(running, start, script):
    process = start("run", str(script))
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (130, b"last words\n")
    assert b"cancelling job 42" in err and err.splitlines()[-1].startswith(b"workerctl: job 42 cancelled")
    assert running.asked("cancel")[0].job == 42


def test_a_second_ctrl_c_leaves_at_once(running, start, script):
    running.on("cancel", lambda request, peer: {"state": "running"})
    process = start("run", str(script))
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    running.wait_for("cancel")
    wait_until(lambda: select.select([process.stderr], [], [], 0)[0])
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130 and b"left; job 42" in err


def test_a_second_ctrl_c_leaves_also_while_the_daemon_does_not_answer(running, start, script):
    running.on("cancel", lambda request, peer: STREAMED)
    process = start("run", str(script))
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    running.wait_for("cancel")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=5)
    assert process.returncode == 130 and b"job 42 may go on" in err


def test_ctrl_c_before_the_job_has_an_id_cancels_it_then(running, start, script):
    answer = threading.Event()

    def submit(request, peer):
        answer.wait(20)
        return {"job": 42, "created": True, "warnings": []}

    running.on("submit", submit)
    process = start("run", str(script))
    running.wait_for("submit")
    process.send_signal(signal.SIGINT)
    wait_until(lambda: select.select([process.stderr], [], [], 0)[0])
    answer.set()
    process.communicate(timeout=10)
    assert process.returncode == 130 and running.asked("cancel")


def test_ctrl_c_in_submit_wait_cancels(running, start, script):
    def wait(request, peer):
        threading.Thread(target=_later, args=(running, peer), daemon=True).start()
        return STREAMED

    running.on("wait", wait)
    process = start("submit", "--wait", str(script))
    assert process.stdout.readline() == b"42\n"
    running.wait_for("wait")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 130 and running.asked("cancel")


def _later(broker, peer):
    wait_until(lambda: broker.asked("cancel"))
    peer.item(job_json(42, "cancelled"))


@pytest.mark.parametrize("words", [["follow", "42"], ["logs", "-f", "42"], ["wait", "42"]])
def test_ctrl_c_elsewhere_only_detaches(running, start, words):
    running.answers("logs", {"attempt": None, "offset": 0, "size": 0, "eof": False, "data": "", "encoding": "utf-8"})
    running.on("wait", lambda request, peer: STREAMED)
    process = start(*words)
    running.wait_for("wait" if words[0] == "wait" else "follow")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert b"detached" in err or b"the jobs go on" in err
    assert not running.asked("cancel")


def test_a_job_started_in_the_background_ignores_ctrl_c_as_its_shell_said(running, start, script):
    process = start("run", str(script), preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.2)
    assert not running.asked("cancel")
