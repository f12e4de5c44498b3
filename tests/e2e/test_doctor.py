"""`workerctl doctor` and `worker-supervisor doctor` on real daemons, and where none is."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness import ROOT, Daemon, wait_until

Checks = dict[str, dict[str, Any]]


def doctor(daemon: Daemon) -> tuple[int, Checks]:
    """What the command exits with, and its checks by name."""
    done = daemon.ctl("doctor", "--json")
    return done.returncode, by_name(done.stdout)


def alone(daemon: Daemon, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """`worker-supervisor doctor` with the settings of a daemon."""
    words = ("doctor", "--config", daemon.settings, "--state-dir", daemon.state, "--socket", daemon.socket, *arguments)
    return subprocess.run(
        [sys.executable, "-m", "supervisor", *map(str, words)],
        capture_output=True, cwd=ROOT, env=daemon.environment, check=False, timeout=60,
    )  # fmt: skip


def by_name(line: bytes) -> Checks:
    checks = json.loads(line)["checks"]
    assert len({check["name"] for check in checks}) == len(checks), "names are told apart"
    assert all(check["status"] in ("ok", "warn", "fail", "skipped") and check["found"] for check in checks)
    return {check["name"]: check for check in checks}


def failures(checks: Checks) -> dict[str, str]:
    return {name: check["found"] for name, check in checks.items() if check["status"] == "fail"}


def when_attached(daemon: Daemon) -> None:
    with daemon.client() as client:
        wait_until(lambda: all(worker["state"] == "idle" for worker in client.status()["workers"]), 20)


def test_a_daemon_that_is_well(daemon: Daemon) -> None:
    when_attached(daemon)
    code, checks = doctor(daemon)
    assert failures(checks) == {} and code == int(any(check["status"] == "warn" for check in checks.values()))
    level = daemon.ask("status")["isolation"]["level"]
    for name in (
        "daemon", "version", "socket_trust", "workers.scripts", f"isolation.{level}", f"isolation.{level}.memory", "node",
        "python", "state_dir", "socket_dir", "socket", "space", "inodes", "database", "database_links", "wal",
        "clock", "open_files", "processes", "cgroup", "leftovers",
    ):  # fmt: skip
        assert checks[name]["status"] == "ok", checks[name]
    assert {"sqlite", "filesystem"} <= set(checks)


def test_people_read_a_table(daemon: Daemon) -> None:
    lines = daemon.ctl("doctor").stdout.decode().splitlines()
    assert lines[0].split()[:2] == ["daemon", "ok"]
    assert any(line.startswith("sqlite") for line in lines)


def test_a_running_job_is_no_leftover_and_doctor_disturbs_nothing(daemon: Daemon, tmp_path: pathlib.Path) -> None:
    script = tmp_path / "a.js"
    script.write_text("require('child_process').spawn('sleep', ['600'], {detached: true}); setTimeout(()=>{}, 600000)")
    job = daemon.ctl("submit", "-q", str(script), check=True).stdout.decode().strip()
    with daemon.client() as client:
        wait_until(lambda: client.show(int(job)).state == "running", 20)
        for _ in range(5):
            assert doctor(daemon)[1]["leftovers"]["status"] == "ok"
        assert client.cancel(int(job)) == "running"
        assert client.wait(int(job), timeout=20).reason == "cancelled"


def test_what_is_wrong_is_found_and_said_how_to_mend(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon().start()
    daemon.state.chmod(0o755)
    os.link(daemon.state / "queue.db", daemon.state / "other")
    code, checks = doctor(daemon)
    assert code == 2 and set(failures(checks)) == {"state_dir", "database_links"}
    assert checks["state_dir"]["remedy"] == f"chmod 700 {daemon.state}"
    daemon.state.chmod(0o700)
    os.unlink(daemon.state / "other")
    assert failures(doctor(daemon)[1]) == {}


def test_a_weak_level_says_what_it_does_not_hold(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(settings='[pools.scripts]\nisolation = "plain"\n').start()
    when_attached(daemon)
    code, checks = doctor(daemon)
    assert code == 1 and checks["isolation.plain"]["status"] == "ok"
    assert checks["isolation.plain.files"]["status"] == "warn"
    assert checks["isolation.plain.memory"]["status"] == "ok"
    assert checks["isolation.namespace"]["status"] == "skipped"


def test_before_the_first_start_nothing_is_made(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon()
    done = alone(daemon, "--json")
    checks = by_name(done.stdout)
    assert done.returncode in (0, 1) and failures(checks) == {}
    assert checks["state_dir"]["status"] == checks["database"]["status"] == "skipped"
    assert any(checks[f"isolation.{level}"]["status"] == "ok" for level in ("namespace", "landlock", "plain"))
    assert checks["isolation.plain.node"]["status"] == "ok"
    assert not daemon.state.exists()


def test_a_daemon_that_runs_is_to_be_asked(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon().start()
    done = alone(daemon)
    assert done.returncode == 3 and done.stdout == b""
    assert b"ask it, with `workerctl doctor`" in done.stderr
    assert daemon.ask("health")["status"] == "healthy"


def test_a_daemon_that_was_stopped_can_be_looked_at_and_started_again(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon().start()
    assert daemon.stop() == 0
    before = (daemon.state / "queue.db").read_bytes()
    done = alone(daemon, "--json")
    checks = by_name(done.stdout)
    assert failures(checks) == {} and checks["database"]["status"] == "ok" and checks["leftovers"]["status"] == "ok"
    assert (daemon.state / "queue.db").read_bytes() == before
    daemon.start()
    assert daemon.ask("health")["status"] == "healthy"


def test_a_damaged_database_is_found_and_left_as_it_is(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon().start()
    assert daemon.stop() == 0
    database = daemon.state / "queue.db"
    damaged = database.read_bytes()[:4096] + b"\xff" * (database.stat().st_size - 4096)
    database.write_bytes(damaged)
    done = alone(daemon, "--json")
    assert done.returncode == 2 and by_name(done.stdout)["database"]["status"] == "fail"
    assert database.read_bytes() == damaged


def test_workerctl_without_a_daemon_looks_by_itself(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(env={"WORKER_STATE_DIR": "", "HOME": "/nonexistent"})
    daemon.environment["WORKER_STATE_DIR"] = str(daemon.state)
    code, checks = doctor(daemon)
    assert code == 1 and checks["daemon"]["status"] == "warn" and checks["workers"]["status"] == "skipped"
    assert "worker-supervisor" in checks["daemon"]["remedy"]
    assert checks["isolation.plain"]["status"] in ("ok", "warn") and checks["space"]["status"] in ("ok", "warn")
    assert not daemon.state.exists()


def test_workerctl_tells_of_a_daemon_that_holds_the_folder_but_not_the_socket(
    make_daemon: Callable[..., Daemon], tmp_path: pathlib.Path
) -> None:
    daemon = make_daemon().start()
    daemon.environment["WORKER_STATE_DIR"] = str(daemon.state)
    done = daemon.ctl("doctor", "--json", "--socket", str(tmp_path / "elsewhere"))
    assert done.returncode == 2 and f"pid {daemon.pid}" in by_name(done.stdout)["daemon"]["found"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_root_does_not_open_the_database_of_another_user(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon().start()
    assert daemon.stop() == 0
    os.chown(daemon.state, 12345, 12345)
    before = sorted(os.listdir(daemon.state))
    done = alone(daemon, "--json")
    checks = by_name(done.stdout)
    assert done.returncode == 2 and "uid 12345" in checks["state_dir"]["remedy"]
    assert checks["database"]["status"] == "skipped"
    assert sorted(os.listdir(daemon.state)) == before
    os.chown(daemon.state, 0, 0)
