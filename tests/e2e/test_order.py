"""What a submit says about order and repetition, on a real daemon: unique keys, waiting for others, many at once."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from ctl import Job, NotFound, WrongState
from tests.harness import ROOT, Daemon, running_daemon, title_of, tree_of, wait_until

SLEEPER = "setTimeout(() => {}, 600000)"
SETTINGS = """
[pools.scripts]
retry_on = ["timeout", "signal"]
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running_daemon(tmp_path_factory.mktemp("order") / "d", SETTINGS) as running:
        yield running


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


def show(daemon: Daemon, job: int) -> Job:
    with daemon.client() as client:
        return client.show(job)


def until(daemon: Daemon, job: int, state: str) -> Job:
    with daemon.client() as client:
        wait_until(lambda: client.show(job).state == state, 30, f"job {job} {state}")
        return client.show(job)


def worker_of(daemon: Daemon, job: int) -> int:
    """The pid of the worker that runs it."""
    return wait_until(
        lambda: next((pid for pid in tree_of(daemon.pid) if f"[job {job}]" in title_of(pid)), None), 20, "its worker"
    )


# Unique keys


def test_a_key_is_taken_until_its_job_is_over(daemon: Daemon, script: Callable[..., str]) -> None:
    path = script(SLEEPER)
    first = submit(daemon, path, "--unique", "nightly")
    again = daemon.ctl("submit", path, "--unique", "nightly")
    assert (again.returncode, int(again.stdout)) == (0, first)
    assert (
        again.stderr.decode()
        == f"workerctl: job {first} has the unique key 'nightly' already: nothing new was queued\n"
    )
    refused = daemon.ctl("submit", path, "--unique", "nightly", "--on-conflict", "refuse")
    assert (refused.returncode, refused.stdout) == (4, b"")
    assert f"job {first}, which is " in refused.stderr.decode()
    assert "It holds the unique key 'nightly'" in daemon.ctl("explain", str(first)).stdout.decode()
    assert submit(daemon, path, "--unique", "nightly", "--queue", "other") != first
    assert daemon.ctl("cancel", "--wait", str(first)).returncode == 0
    second = submit(daemon, path, "--unique", "nightly")
    assert second != first
    assert show(daemon, second).unique_key == "nightly"
    with daemon.client() as client, pytest.raises(WrongState, match=f"job {second}"):
        client.retry(first)
    daemon.ctl("cancel", "--wait", "--queue", "default")
    daemon.ctl("cancel", "--wait", "--queue", "other")


def test_of_many_racing_submits_with_one_key_one_makes_the_job(daemon: Daemon) -> None:
    made = []

    def submit_one() -> None:
        with daemon.client() as client:
            made.append(client.submit(source="1", unique="race", delay="1h"))

    threads = [threading.Thread(target=submit_one) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.id for one in made}) == 1
    assert sorted((one.created, one.existing) for one in made) == [(False, True)] * 19 + [(True, False)]


# Waiting for others


def test_jobs_wait_for_the_end_of_others_as_they_asked(daemon: Daemon, script: Callable[..., str]) -> None:
    root = submit(daemon, script("1"), "--delay", "1h")
    gate = submit(daemon, script("process.exit(3)"), "--after", f"{root}:any")
    on_ok = submit(daemon, script("1", "b.js"), "--after", str(gate))
    behind = submit(daemon, script("1", "c.js"), "--after", f"{on_ok}:any")
    on_fail = submit(daemon, script("1", "d.js"), "--after", f"{gate}:fail", "--after", f"{gate}:fail")
    on_any = submit(daemon, script("1", "e.js"), "--after", f"{gate}:any")
    assert show(daemon, on_ok).waiting_for == [gate]
    assert show(daemon, on_ok).state == "scheduled"
    daemon.ctl("cancel", str(root), check=True)
    assert daemon.ctl("wait", *map(str, (behind, on_fail, on_any)), "--timeout", "60").returncode == 0
    ended = show(daemon, on_ok)
    assert (ended.state, ended.reason, ended.attempt) == ("cancelled", "dependency", 0)
    assert ended.message == f"it waited for job {gate} to complete (--after {gate}:ok), which failed (exit)"
    assert show(daemon, on_any).started_at >= show(daemon, gate).finished_at
    told = daemon.ctl("explain", str(on_ok)).stdout.decode()
    assert f"It was cancelled before it ran, reason dependency: it waited for job {gate}" in told
    assert daemon.ctl("wait", str(on_ok)).returncode == 1
    assert daemon.ctl("retry", str(on_ok)).returncode == 0
    assert until(daemon, on_ok, "completed").attempt == 1


def test_explain_names_what_a_job_waits_for(daemon: Daemon, script: Callable[..., str]) -> None:
    gate = submit(daemon, script(SLEEPER))
    until(daemon, gate, "running")
    job = submit(daemon, script("1", "b.js"), "--after", "@last")
    told = daemon.ctl("explain", str(job)).stdout.decode()
    assert f"It waits for 1 other job: job {gate} (running), which must complete." in told
    assert f"waiting for  {gate}" in daemon.ctl("show", str(job)).stdout.decode()
    daemon.ctl("cancel", "--wait", str(gate))
    assert until(daemon, job, "cancelled").message.endswith("which was cancelled")


def test_waiting_for_what_is_over_or_not_there_is_decided_at_once(daemon: Daemon, script: Callable[..., str]) -> None:
    done = submit(daemon, script("process.exit(1)"))
    until(daemon, done, "failed")
    never = submit(daemon, script("1"), "--after", str(done))
    assert show(daemon, never).state == "cancelled"
    with daemon.client() as client:
        before = client.newest()
        with pytest.raises(NotFound, match="there is no job 999999"):
            client.submit(source="1", after=[999999])
        assert client.newest() == before


def test_a_job_that_waits_for_a_worker_that_is_killed_waits_for_the_end_of_its_job(
    daemon: Daemon, script: Callable[..., str]
) -> None:
    gate = submit(daemon, script(f"if (process.env.JOB_ATTEMPT === '1') {{ console.log('on'); {SLEEPER} }}"))
    job = submit(daemon, script("1", "b.js"), "--after", str(gate))
    wait_until(lambda: daemon.ctl("logs", str(gate)).stdout == b"on\n", 20, "its first word")
    os.kill(worker_of(daemon, gate), signal.SIGKILL)
    assert until(daemon, job, "completed").attempt == 1
    assert [one.reason for one in show(daemon, gate).attempts] == ["worker_lost", "ok"]


def test_long_chains_and_wide_fans_are_decided_to_the_end(daemon: Daemon) -> None:
    with daemon.client() as client:
        gate = client.submit(source="1", delay="1h")
        fan = client.submit_many({"source": "1", "delay": "1h", "after": [f"{gate.id}:any"]} for _ in range(2500))
        chain = client.submit_many(
            {"source": "1", "key": f"k{n}", "after": [f"k{n - 1}" if n else gate.id]} for n in range(2500)
        )
        client.cancel(gate)
        wait_until(lambda: client.show(chain[-1].id).state == "cancelled", 60, "the end of the chain")
        assert client.show(chain[-1].id).message.startswith(f"it waited for job {chain[-2].id} to complete")
        wait_until(lambda: client.show(fan[-1].id).waiting_for == [], 60, "the end of the fan")
        assert client.show(fan[-1].id).state == "scheduled"
        left = [job.id for job in client.list(limit=None) if job.waiting_for]
        assert left == []


@pytest.mark.parametrize("count", [1001, 1500, 3200])
def test_many_at_once_keep_their_order_over_the_requests_that_they_take(daemon: Daemon, count: int) -> None:
    with daemon.client() as client:
        jobs = client.submit_many({"source": "1", "delay": "1h"} for _ in range(count))
    ids = [job.id for job in jobs]
    assert ids == sorted(ids)


# Many at once


def batch(daemon: Daemon, lines: list[dict[str, object] | str], *arguments: str) -> subprocess.CompletedProcess[bytes]:
    text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    done: subprocess.CompletedProcess[bytes] = daemon.ctl("submit", "--batch", "-", *arguments, stdin=text.encode())
    return done


def test_a_batch_prints_an_id_a_line_and_its_lines_may_wait_for_earlier_ones(
    daemon: Daemon, script: Callable[..., str]
) -> None:
    path = script("console.log(process.argv[2], process.env.WHO)")
    lines: list[dict[str, object] | str] = [
        {"file": path, "key": "a", "args": ["one"], "env": {"WHO": "me"}},
        "",
        {"source": "import os; print('two', os.environ['WHO'])", "name": "b.py", "after": ["a"]},
        {"file": path, "args": ["three"], "after": ["a:any"], "limits": {"wall_s": 20}},
    ]
    done = batch(daemon, lines, "--env", "WHO=you", "--timeout", "40", "--queue", "batch")
    assert done.returncode == 0, done.stderr
    first, second, third = map(int, done.stdout.split())
    assert daemon.ctl("wait", *map(str, (first, second, third))).returncode == 0
    said = [daemon.ctl("logs", "--stdout", str(job)).stdout.decode().strip() for job in (first, second, third)]
    assert said == ["one me", "two you", "three you"]
    assert [show(daemon, job).limits["wall_s"] for job in (first, third)] == [40.0, 20.0]
    assert {show(daemon, job).queue for job in (first, second, third)} == {"batch"}


def test_a_batch_with_a_file_for_all_of_its_lines(daemon: Daemon, script: Callable[..., str]) -> None:
    path = script("console.log(process.argv.slice(2).join())")
    done = batch(daemon, [{"args": ["1"]}, {"args": ["2"]}], path, "--json")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["line"], one["created"]) for one in told] == [(1, True), (2, True)]
    ids = [str(one["job"]) for one in told]
    assert daemon.ctl("wait", *ids).returncode == 0
    assert [daemon.ctl("logs", "--stdout", job).stdout for job in ids] == [b"1\n", b"2\n"]


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("{", 2, "line 3: it is not JSON"),
        ("[1]", 2, "line 3: it is not a JSON object"),
        ({"source": "1", "timeout": "3s"}, 2, "line 3: there is no field 'timeout'; there are after, args"),
        ({"source": "1", "retries": "3"}, 2, 'line 3: retries must be a whole number, not "3"'),
        ({"source": "1", "after": ["later"]}, 2, "line 3: after: no earlier one has the key 'later'"),
        ({"source": "1", "key": "a"}, 2, "line 3: key: 'a' is an earlier one's already"),
        ({"file": "/none.js"}, 2, "line 3: cannot read /none.js"),
        ({"queue": "x"}, 2, "line 3: give a script"),
        ({"source": "1", "priority": 5000}, 2, "line 3: Expected `int` <= 1000"),
        ({"source": "1", "limits": {"wal_s": 3}}, 2, "line 3: Object contains unknown field `wal_s`"),
        ({"source": "1", "after": [999999]}, 3, "line 3: `after`: there is no job 999999"),
        ({"source": "1", "name": "x.y", "type": "node", "isolation": "none"}, 2, "line 3: `isolation`: there is no"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_stored(daemon: Daemon, line: object, code: int, words: str) -> None:
    with daemon.client() as client:
        before = client.status()["jobs"]["scheduled"]
        lines = [{"source": "1", "delay_s": 3600, "key": "a"}, {"source": "1", "delay_s": 3600}, line]
        done = batch(daemon, lines)  # type: ignore[arg-type]
        assert (done.returncode, done.stdout) == (code, b"")
        assert f"standard input, {words}" in done.stderr.decode()
        assert "nothing of the file is stored" in done.stderr.decode()
        assert client.status()["jobs"]["scheduled"] == before


def test_a_refusal_further_on_says_which_lines_are_stored(daemon: Daemon) -> None:
    lines: list[dict[str, object] | str] = [{"source": "1", "delay_s": 3600}] * 2500
    lines[1700] = {"source": "1", "delay_s": 3600, "priority": 5000}
    done = batch(daemon, lines)
    ids = done.stdout.split()
    assert done.returncode == 2
    assert "standard input, line 1701: Expected `int` <= 1000" in done.stderr.decode()
    assert len(ids) == 1000
    assert "stored are lines 1 to 1000" in done.stderr.decode()


def test_a_broker_killed_in_the_middle_of_a_batch_makes_nothing_twice(daemon: Daemon) -> None:
    total = 20_000
    text = "".join(f'{{"source":"1","delay_s":3600,"args":["{n}"],"queue":"bulk"}}\n' for n in range(total))
    with daemon.client() as client:
        before = client.status()["jobs"]["scheduled"]
        command = subprocess.Popen(
            [sys.executable, "-m", "ctl.main", "--socket", daemon.socket, "submit", "--batch", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=daemon.environment,
        )
        assert command.stdin is not None
        command.stdin.write(text.encode())
        command.stdin.close()
        wait_until(lambda: client.status()["jobs"]["scheduled"] > before, 30, "the first chunk")
        os.kill(daemon.pid_of(": broker"), signal.SIGKILL)
        assert command.stdout is not None
        ids = command.stdout.read().split()
        assert command.wait(60) == 0
        assert len(set(ids)) == total
        assert client.status()["jobs"]["scheduled"] == before + total


# Retries and moments


def test_only_the_reasons_of_the_pool_are_retried(daemon: Daemon, script: Callable[..., str]) -> None:
    retried = submit(daemon, script("process.kill(process.pid, 'SIGKILL')"), "--retries", "1", "--backoff", "1ms")
    ended = submit(daemon, script("process.exit(1)", "b.js"), "--retries", "1", "--backoff", "1ms,2,1s")
    assert len(until(daemon, retried, "failed").attempts) == 2
    assert len(until(daemon, ended, "failed").attempts) == 1
    told = daemon.ctl("explain", str(ended)).stdout.decode()
    assert "It was not tried again (1 of 1 left): its pool retries only after timeout and signal." in told


def test_a_job_is_due_when_the_words_said(daemon: Daemon, script: Callable[..., str]) -> None:
    done = daemon.ctl("submit", "--at", "in 1h", script("1"))
    job = show(daemon, int(done.stdout))
    assert job.state == "scheduled"
    assert "workerctl: --at means 20" in done.stderr.decode()
    soon = submit(daemon, script("1", "b.js"), "--at", "in 200ms")
    assert until(daemon, soon, "completed").ok


# A cancel that was answered is final


def test_a_cancel_wins_over_a_success_that_is_not_settled_yet(
    daemon: Daemon, script: Callable[..., str], tmp_path: pathlib.Path
) -> None:
    leave = "process.on('SIGUSR2', () => { console.log('done'); process.exit(0) })"
    job = submit(daemon, script(f"{leave}; console.log('on'); {SLEEPER}"))
    behind = submit(daemon, script("1", "b.js"), "--after", str(job))
    wait_until(lambda: daemon.ctl("logs", str(job)).stdout == b"on\n", 20, "its first word")
    worker = worker_of(daemon, job)
    os.kill(worker, signal.SIGSTOP)
    try:
        # Its worker sees neither the cancel nor the end until it goes on.
        os.kill(next(pid for pid, name in tree_of(worker).items() if "node" in name), signal.SIGUSR2)
        wait_until(lambda: daemon.ctl("logs", str(job)).stdout == b"on\ndone\n", 20, "its last word")
        wait_until(lambda: not any("node" in name for name in tree_of(worker).values()), 20, "its end")
        cancelled = daemon.ctl("cancel", "--reason", "wrong input", str(job))
        assert cancelled.returncode == 0
    finally:
        os.kill(worker, signal.SIGCONT)
    ended = until(daemon, job, "cancelled")
    assert (ended.reason, ended.exit_code, ended.attempts[0].reason) == ("cancelled", 0, "ok")
    assert ended.message == "cancelled while it ran: wrong input (its attempt: completed)"
    assert ended.raw["cancel_reason"] == "wrong input"
    assert until(daemon, behind, "cancelled").reason == "dependency"


def test_a_cancel_wins_over_a_loss_that_is_not_settled_yet(daemon: Daemon, script: Callable[..., str]) -> None:
    job = submit(daemon, script(f"console.log('on'); {SLEEPER}"))
    wait_until(lambda: daemon.ctl("logs", str(job)).stdout == b"on\n", 20, "its first word")
    worker = worker_of(daemon, job)
    os.kill(worker, signal.SIGSTOP)
    assert daemon.ctl("cancel", "--reason", "not needed", str(job)).returncode == 0
    os.kill(worker, signal.SIGKILL)
    ended = until(daemon, job, "cancelled")
    assert (ended.reason, [one.reason for one in ended.attempts]) == ("cancelled", ["worker_lost"])
    assert "not needed" in ended.message
    assert "by uid" in daemon.ctl("explain", str(job)).stdout.decode()
