"""`workerctl explain` on real daemons: the words for what really happened."""

from __future__ import annotations

import os
import pathlib
import signal
from collections.abc import Callable

import pytest

from tests.harness import Daemon, tree_of, wait_until

SLEEPER = "setTimeout(() => {}, 600000)"


@pytest.fixture
def script(tmp_path: pathlib.Path) -> Callable[..., str]:
    def write(text: str, name: str = "a.js") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def submit(daemon: Daemon, *arguments: str) -> int:
    done = daemon.ctl("submit", "-q", *arguments)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def told(daemon: Daemon, job: int) -> tuple[str, str, list[str]]:
    """The state, all that is said, all that is named as a change."""
    answer = daemon.ask("explain", str(job))
    assert answer["job"] == job
    said = " ".join(sentence["says"] for sentence in answer["sentences"])
    return answer["state"], said, [sentence["change"] for sentence in answer["sentences"] if sentence["change"]]


def until(daemon: Daemon, job: int, state: str) -> None:
    with daemon.client() as client:
        wait_until(lambda: client.show(job).state == state, 20, f"job {job} {state}")


# script, options -> words said, changes named
ENDS = {
    "timeout": (
        SLEEPER,
        ("--timeout", "1s"),
        ["reason timeout", "of 1 s", "That is certain"],
        ["--timeout 2s", "--retries 3"],
    ),
    "cpu": ("for(;;);", ("--cpu", "1s"), ["reason cpu_limit"], ["--cpu 2s"]),
    "memory": (
        "const a=[]; for(;;) a.push(Buffer.alloc(1<<20,1))",
        ("--memory", "128M"),
        ["reason memory_limit", "of 128 MiB", "That limit is held so: sampled"],
        ["--memory 256M"],
    ),
    "output": (
        "for(;;) process.stdout.write('x'.repeat(65536))",
        ("--output", "64K"),
        ["reason output_limit", "stdout 64 KiB of 64 KiB"],
        ["--output 128K"],
    ),
    "exit, every retry used": (
        "process.exit(3)",
        ("--retries", "1", "--backoff", "1ms"),
        ["exited with code 3", "2 attempts failed, 1 retry was allowed", "Before that: attempt 1 exit"],
        ["--retries 2"],
    ),
    "leftovers": (
        "const {spawn}=require('child_process'); spawn('sleep',['100'],{detached:true}).unref(); "
        "setTimeout(()=>process.exit(1), 200)",
        (),
        ["It left 1 process behind"],
        ["let the script wait for what it starts"],
    ),
    "completed": ("", (), ["It completed after", "its main process exited with code 0"], []),
}


@pytest.mark.parametrize("case", ENDS)
def test_why_it_ended(daemon: Daemon, script: Callable[..., str], case: str) -> None:
    text, options, words, changes = ENDS[case]
    job = submit(daemon, *options, script(text))
    daemon.ctl("wait", str(job))
    state, said, named = told(daemon, job)
    assert state == ("completed" if case == "completed" else "failed")
    assert [word for word in words if word not in said] == [], said
    assert [change for change in changes if change not in named] == [], named


def test_cancelled_scheduled_and_waiting_for_a_retry(daemon: Daemon, script: Callable[..., str]) -> None:
    job = submit(daemon, "--delay", "1h", script(SLEEPER))
    state, said, named = told(daemon, job)
    assert state == "scheduled" and "It was submitted for later: it is due at" in said and "in 1 h" in said
    assert "submit without --delay or --at" in named
    assert daemon.ctl("cancel", str(job), "--reason", "not needed").returncode == 0
    assert "before it ran: not needed." in told(daemon, job)[1]
    tried = submit(daemon, "--retries", "3", "--backoff", "1000s,1,1000s", script("process.exit(1)", "b.js"))
    until(daemon, tried, "scheduled")
    said = told(daemon, tried)[1]
    assert "Attempt 1 ended with exit (exited with code 1" in said and "3 retries are allowed" in said
    assert daemon.ctl("cancel", str(tried)).returncode == 0


def test_a_job_that_is_not_there(daemon: Daemon) -> None:
    assert daemon.ctl("explain", "999999").returncode == 3


def test_people_read_lines(daemon: Daemon, script: Callable[..., str]) -> None:
    job = submit(daemon, script("process.exit(3)"))
    daemon.ctl("wait", str(job))
    lines = daemon.ctl("explain", str(job)).stdout.decode().splitlines()
    assert lines[0] == f"job {job}  failed" and lines[1].startswith("It failed after")
    assert lines[2] == f"    change: workerctl logs --stderr {job}"


def test_queued_behind_others_while_all_workers_are_busy(
    make_daemon: Callable[..., Daemon], script: Callable[..., str]
) -> None:
    daemon = make_daemon(settings='shutdown_timeout = "60s"\n').start()
    running = [submit(daemon, script(SLEEPER)) for _ in range(2)]
    for job in running:
        until(daemon, job, "running")
    first, second = submit(daemon, script(SLEEPER)), submit(daemon, script(SLEEPER))
    other = submit(daemon, "--queue", "other", script(SLEEPER))
    state, said, named = told(daemon, running[0])
    assert state == "running" and "It has been running for" in said and "of its 10 min" in said
    assert "--timeout 20m" in named and "isolation" in said
    busy = f"All 2 workers that could take it are busy, with jobs {running[0]} and {running[1]}."
    state, said, named = told(daemon, first)
    assert state == "queued" and "It is the next one of queue default." in said and busy in said
    assert "setting pools.scripts.replicas" in named
    said, named = told(daemon, second)[1:]
    assert "1 job is before it in queue default." in said and "--priority 10" in named
    assert "The same workers take 2 jobs of other queues before it." in told(daemon, other)[1]

    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "The daemon is shutting down and starts nothing more" in told(daemon, first)[1], 10)
    assert "it may finish in time" in told(daemon, running[0])[1]
    for job in running:
        assert daemon.ctl("cancel", str(job)).returncode == 0
    assert daemon.process.wait(20) == 0


def test_nobody_takes_its_queue(make_daemon: Callable[..., Daemon], script: Callable[..., str]) -> None:
    daemon = make_daemon(settings='[pools.scripts]\nqueues = ["fast"]\n').start()
    job = submit(daemon, script(SLEEPER))
    state, said, named = told(daemon, job)
    assert state == "queued" and "No pool takes jobs of type node from queue default" in said
    assert "setting pools.scripts.queues, or another --queue" in named


def test_a_loss_is_named_apart_and_poison_by_its_name(
    make_daemon: Callable[..., Daemon], script: Callable[..., str]
) -> None:
    daemon = make_daemon(workers=1).start()
    job = submit(daemon, script(SLEEPER))
    with daemon.client() as client:
        for loss in range(1, 5):
            wait_until(
                lambda: client.show(job).state == "running" and client.show(job).attempt == loss,  # noqa: B023
                20,
                f"attempt {loss}",
            )
            # Earlier the worker has started no process yet: then its death loses nothing.
            wait_until(lambda: "a.js" in " ".join(tree_of(daemon.pid).values()), 10, "the job's process")
            if loss == 2:
                said = told(daemon, job)[1]
                assert "It was lost 1 time with its worker or the machine; that uses up no retry." in said
                assert "Attempt 1 ended with worker_lost" in said
            os.kill(daemon.pid_of(f"[job {job}]"), signal.SIGKILL)
        assert client.wait(job, timeout=20).state == "failed"
    assert "It is poison: 4 times its worker or the machine died under it" in told(daemon, job)[1]
