"""Spares in a real daemon: made while a worker is idle, used once, replaced when they die, gone when nobody wants them."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from harness import Daemon, alive, running_daemon, tree_of, wait_until

TOLD = """
const fs = require('fs');
const field = (name) => fs.readFileSync('/proc/self/status', 'latin1').match(new RegExp(`${name}:\\\\s*(.*)`))[1];
const limits = fs.readFileSync('/proc/self/limits', 'latin1');
console.log(JSON.stringify({ up: process.uptime(), id: process.env.JOB_ID, asked: process.env.ASKED,
  files: limits.match(/Max open files\\s+(\\d+)\\s+(\\d+)/).slice(1), cpu: limits.match(/Max cpu time\\s+(\\w+)/)[1],
  processes: limits.match(/Max processes\\s+(\\w+)/)[1], size: limits.match(/Max file size\\s+(\\w+)/)[1],
  shown: fs.readFileSync('/proc/self/environ', 'latin1').includes('JOB_ID=0') }));
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running_daemon(tmp_path_factory.mktemp("prestart"), workers=1) as daemon:
        yield daemon


def worker_of(daemon: Daemon) -> dict[str, Any]:
    return daemon.ask("status")["workers"][0]


def until_spare(daemon: Daemon, kind: str = "node") -> int:
    """Waits until an interpreter is ready; returns its pid on this machine."""
    wait_until(lambda: worker_of(daemon)["spare"] == kind, 30, f"a spare {kind} ({daemon.ask('status')['isolation']})")
    return spare_pid(daemon)


def spare_pid(daemon: Daemon) -> int:
    words = ("--require", "spare-spare")
    return next((pid for pid, title in tree_of(daemon.pid).items() if any(word in title for word in words)), 0)


def submit(daemon: Daemon, folder: pathlib.Path, text: str, *options: str, name: str = "job.js") -> dict[str, Any]:
    """Runs a job to its end: what `show` says, with its last attempt and stdout."""
    script = folder / name
    script.write_text(text)
    job = json.loads(daemon.ctl("submit", "--wait", "--json", *options, str(script)).stdout)
    shown = daemon.ask("show", str(job["id"]))
    return {**shown, "last": shown["attempts"][-1], "out": daemon.ctl("logs", str(job["id"])).stdout.decode()}


def told(job: dict[str, Any]) -> dict[str, Any]:
    assert job["state"] == "completed", job
    return json.loads(job["out"])


def test_a_job_gets_the_interpreter_that_waited_and_the_next_another(daemon: Daemon, tmp_path: pathlib.Path) -> None:
    first = until_spare(daemon)
    time.sleep(0.5)  # an age that no cold start has
    seen = told(submit(daemon, tmp_path, TOLD))
    assert seen["up"] > 0.5
    assert seen["shown"]
    assert not alive(first)
    second = until_spare(daemon)
    assert second != first


def test_it_has_its_own_limits_and_environment(daemon: Daemon, tmp_path: pathlib.Path) -> None:
    until_spare(daemon)
    options = ("--open-files", "99", "--cpu", "7", "--processes", "77", "--file-size", "32M", "--env", "ASKED=yes")
    job = submit(daemon, tmp_path, TOLD, *options)
    seen = told(job)
    assert seen["shown"], "it was not the spare that ran"
    assert (seen["files"], seen["cpu"]) == (["99", "99"], "8")
    assert int(seen["processes"]) in (77, 79), "its keepers have its uid where the daemon's user is not root"
    assert (int(seen["size"]), seen["id"], seen["asked"]) == (32 << 20, str(job["id"]), "yes")


@pytest.mark.parametrize(
    "options",
    [("--memory", "200M"), ("--network",), ("--merge",), ("--env", "NODE_OPTIONS=--no-warnings"), ("--disk", "64M")],
    ids=lambda options: options[0] + options[-1].partition("=")[0],
)
def test_a_job_that_no_spare_suits_starts_cold(
    daemon: Daemon, tmp_path: pathlib.Path, options: tuple[str, ...]
) -> None:
    submit(daemon, tmp_path, "", "--cpu", "5")  # what came last decides what waits
    waiting = until_spare(daemon)
    seen = told(submit(daemon, tmp_path, TOLD, *options))
    assert not seen["shown"]
    assert seen["id"] != "0"
    assert not alive(waiting)


def test_the_wait_is_not_the_jobs(daemon: Daemon, tmp_path: pathlib.Path) -> None:
    submit(daemon, tmp_path, "")
    until_spare(daemon)
    time.sleep(1.0)  # longer than this job may run
    job = submit(daemon, tmp_path, TOLD, "--timeout", "900ms")
    assert told(job)["up"] > 1.0
    assert job["last"]["wall_s"] < 0.9
    until_spare(daemon)
    job = submit(daemon, tmp_path, "for (;;);", "--cpu", "300ms")
    assert job["last"]["reason"] == "cpu_limit"
    until_spare(daemon)
    job = submit(daemon, tmp_path, "setInterval(() => {}, 1000)", "--timeout", "300ms")
    assert job["last"]["reason"] == "timeout"
    # The clock of the limit may be on its way for some of the time.
    assert 0.25 <= job["last"]["wall_s"] < 5


def test_ends_are_told_apart_as_ever(daemon: Daemon, tmp_path: pathlib.Path) -> None:
    until_spare(daemon)
    killed = submit(daemon, tmp_path, "process.kill(process.pid, 'SIGKILL'); setInterval(() => {}, 1000)")
    assert (killed["last"]["reason"], killed["last"]["signal"]) == ("signal", "SIGKILL")
    until_spare(daemon)
    left = submit(daemon, tmp_path, "process.exit(137)")
    assert (left["last"]["reason"], left["last"]["exit_code"]) == ("exit", 137)
    until_spare(daemon)
    greedy = submit(daemon, tmp_path, "const all = []; for (;;) all.push(Buffer.alloc(8 << 20, 1))")
    assert greedy["last"]["reason"] == "memory_limit"


def test_python_waits_after_python(daemon: Daemon, tmp_path: pathlib.Path) -> None:
    if daemon.ask("status")["isolation"]["level"] == "landlock":
        pytest.skip("Python cannot wait under landlock")
    text = "import os; print('JOB_ID=0' in open('/proc/self/environ').read(), os.environ['JOB_ID'])"
    submit(daemon, tmp_path, text, name="job.py")
    until_spare(daemon, "python")
    job = submit(daemon, tmp_path, text, name="job.py")
    assert job["out"] == f"True {job['id']}\n"
    job = submit(daemon, tmp_path, "import time; time.sleep(60)", "--timeout", "200ms", name="job.py")
    assert job["last"]["reason"] == "timeout"
    submit(daemon, tmp_path, "")


def test_a_spare_that_is_killed_is_replaced_and_no_job_suffers(daemon: Daemon, tmp_path: pathlib.Path) -> None:
    killed = until_spare(daemon)
    os.kill(killed, signal.SIGKILL)
    assert submit(daemon, tmp_path, "console.log(1)")["out"] == "1\n"
    assert until_spare(daemon) != killed


def test_one_that_dies_before_it_took_the_job_costs_no_attempt(daemon: Daemon, tmp_path: pathlib.Path) -> None:
    waiting = until_spare(daemon)
    os.kill(waiting, signal.SIGSTOP)  # the job is sent to it, and it does not look
    script = tmp_path / "job.js"
    script.write_text(TOLD)
    job = daemon.ask("submit", str(script))["id"]
    wait_until(lambda: daemon.ask("show", str(job))["state"] == "running", 10)
    os.kill(waiting, signal.SIGKILL)
    wait_until(lambda: daemon.ask("show", str(job))["state"] == "completed", 20)
    shown = daemon.ask("show", str(job))
    assert len(shown["attempts"]) == 1
    assert not json.loads(daemon.ctl("logs", str(job)).stdout)["shown"], "it was started anew, in the ordinary way"


def test_one_that_never_takes_the_job_is_ended_by_the_jobs_limits(daemon: Daemon, tmp_path: pathlib.Path) -> None:
    os.kill(until_spare(daemon), signal.SIGSTOP)
    job = submit(daemon, tmp_path, TOLD, "--timeout", "300ms")
    assert (job["state"], job["last"]["reason"]) == ("failed", "timeout")


def test_what_a_job_leaves_does_not_reach_the_next_spare(daemon: Daemon, tmp_path: pathlib.Path) -> None:
    until_spare(daemon)
    leaves = """
      const fs = require('fs');
      for (const place of ['/tmp/left', '/dev/shm/left', '../left', 'left', '/.gates/node.cjs'])
        try { fs.writeFileSync(place, 'process.exit(9)') } catch (error) { console.log(error.code) }
      try { fs.writeSync(63, 'x') } catch (error) { console.log(error.code) }
    """
    job = submit(daemon, tmp_path, leaves)
    assert job["out"].splitlines()[-1] == "EBADF"
    until_spare(daemon)
    looks = "console.log(require('fs').readdirSync('..').sort().join(), require('fs').readdirSync('.').join())"
    assert submit(daemon, tmp_path, looks)["out"] == "output,tmp,work job.js\n"


def test_a_cancelled_job_behind_a_gate_is_gone(daemon: Daemon, tmp_path: pathlib.Path) -> None:
    until_spare(daemon)
    script = tmp_path / "waits.js"
    script.write_text("setInterval(() => {}, 1000)")
    job = daemon.ask("submit", str(script))["id"]
    wait_until(lambda: daemon.ask("show", str(job))["state"] == "running", 10)
    daemon.ctl("cancel", str(job), check=True)
    wait_until(lambda: daemon.ask("show", str(job))["state"] == "cancelled", 10)


def test_three_that_die_in_a_row_are_enough(tmp_path: pathlib.Path) -> None:
    with running_daemon(tmp_path, '[pools.scripts]\ntypes = ["node"]\n', workers=1) as daemon:
        deadline = time.monotonic() + 60
        while (state := daemon.ask("status")["isolation"]["prestart"].get("node", "")).startswith(
            ("on", "not")
        ) or not state:
            assert time.monotonic() < deadline, state
            pid = spare_pid(daemon)
            if state == "on" and pid:
                os.kill(pid, signal.SIGKILL)
                wait_until(lambda pid=pid: not alive(pid))
            time.sleep(0.05)
        assert state.startswith("off: 3 in a row ended before they had a job")
        assert submit(daemon, tmp_path, "console.log(1)")["out"] == "1\n"


def test_where_interpreters_cannot_be_compared_jobs_run_as_ever(tmp_path: pathlib.Path) -> None:
    daemon = Daemon(tmp_path, settings='[log]\nlevel = "debug"\n', workers=1)
    place = daemon.state / "cache" / "comparison"
    place.mkdir(parents=True)
    for folder in (daemon.state, daemon.state / "cache"):
        folder.chmod(0o700)
    try:
        daemon.start()
        wait_until(lambda: worker_of(daemon)["state"] == "idle", 30, "the worker")
        first = worker_of(daemon)["pid"]
        wait_until(lambda: f"{place} cannot be opened" in daemon.words(), 30, "a try")
        assert submit(daemon, tmp_path, TOLD)["state"] == "completed"
        assert worker_of(daemon)["pid"] == first and worker_of(daemon)["spare"] is None
        place.rmdir()
        assert until_spare(daemon)
        assert daemon.stop() == 0
    finally:
        daemon.clean()


def test_prestart_0_makes_none_and_says_so(tmp_path: pathlib.Path) -> None:
    with running_daemon(tmp_path, "[pools.scripts]\nprestart = 0\n", workers=1) as daemon:
        assert not told(submit(daemon, tmp_path, TOLD))["shown"]
        status = daemon.ask("status")
        assert status["workers"][0]["spare"] is None
        assert status["isolation"]["prestart"]["node"] == "off: pools.scripts.prestart is 0"


def test_spares_do_not_delay_the_end(tmp_path: pathlib.Path) -> None:
    with running_daemon(tmp_path, workers=2) as daemon:
        until_spare(daemon)
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 5
