"""Operating a daemon that works: no job is lost, interrupted or run twice, whatever the operator does to its workers."""

from __future__ import annotations

import os
import pathlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness import Daemon, alive, running_daemon, wait_until

SETTINGS = """\
hang_timeout = "3s"
[pools.scripts]
isolation = "plain"
"""
GATED = "until [ -e {gate} ]; do sleep 0.02; done; echo done"


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running_daemon(tmp_path_factory.mktemp("operations") / "d", SETTINGS) as daemon:
        yield daemon


@pytest.fixture
def daemon(operated: Daemon) -> Iterator[Daemon]:
    """As it was at its start: its settings, two workers, nothing held."""
    yield operated
    operated.settings.write_text(SETTINGS)
    for arguments in (["reload"], ["drain", "--end"], ["scale", "--wait", "--timeout", "60", "scripts", "2"]):
        done = operated.ctl(*arguments)
        assert done.returncode == 0, done.stderr.decode()


@pytest.fixture
def gate(tmp_path: pathlib.Path) -> pathlib.Path:
    """A file that jobs wait for."""
    folder = pathlib.Path(f"/tmp/worker-test-{os.getpid()}-{tmp_path.name[:40]}")
    folder.mkdir()
    folder.chmod(0o755)
    yield folder / "gate"
    (folder / "gate").unlink(missing_ok=True)
    folder.rmdir()


def submit(daemon: Daemon, text: str, *options: str) -> int:
    done = daemon.ctl("-q", "submit", "-", "--runtime", "shell", *options, stdin=text.encode())
    assert done.returncode == 0, done.stderr.decode()
    return int(done.stdout)


def workers(daemon: Daemon, pool: str = "scripts") -> dict[str, dict[str, Any]]:
    return {worker["name"]: worker for worker in daemon.ask("status")["workers"] if worker["pool"] == pool}


def load(daemon: Daemon, many: int) -> list[int]:
    """So many short jobs at once."""
    with daemon.client() as client:
        jobs = client.submit_many({"source": "sleep 0.05; echo $JOB_ID", "runtime": "shell"} for _ in range(many))
    return [job.id for job in jobs]  # type: ignore[union-attr]


def all_ran_once(daemon: Daemon, jobs: list[int]) -> None:
    with daemon.client() as client:
        for job in client.wait_each(jobs, timeout=60):
            whole = client.show(job.id)
            assert (whole.state, len(whole.raw["attempts"])) == ("completed", 1), whole.raw
            assert client.logs(job.id) == f"{job.id}\n".encode()


def test_scaling_up_and_down_under_load_loses_and_interrupts_no_job(daemon: Daemon) -> None:
    jobs = load(daemon, 60)
    for replicas in (5, 1, 4, 2):
        scaled = daemon.ask("scale", "scripts", str(replicas))
        assert scaled["replicas"] == replicas
        wait_until(lambda replicas=replicas: len(workers(daemon)) == replicas)
    assert list(workers(daemon)) == ["scripts/1", "scripts/2"]
    all_ran_once(daemon, jobs)


def test_a_pool_without_workers_keeps_its_jobs_until_it_has_some(daemon: Daemon) -> None:
    assert daemon.ctl("scale", "--wait", "scripts", "0").returncode == 0
    job = submit(daemon, "echo late")
    assert b"no workers" in daemon.ctl("explain", str(job)).stdout
    assert daemon.ctl("scale", "scripts", "1").stdout == b"scripts: 0 -> 1 workers\n"
    assert daemon.ctl("wait", "--timeout", "30", str(job)).returncode == 0


def test_a_scale_that_cannot_be_had_says_what_can(daemon: Daemon) -> None:
    for arguments, words in ((("nope", "1"), b"the pools are scripts"), (("scripts", "1025"), b"0 to 1024")):
        done = daemon.ctl("scale", *arguments)
        assert done.returncode == 2 and words in done.stderr


def test_a_rolling_restart_under_load_replaces_every_worker_and_interrupts_no_job(daemon: Daemon) -> None:
    before = {worker["pid"] for worker in workers(daemon).values()}
    jobs = load(daemon, 40)
    done = daemon.ctl("restart", "--wait", "--timeout", "60")
    assert done.returncode == 0 and done.stdout == b"replaced: scripts/1, scripts/2\n", done.stderr
    after = workers(daemon)
    assert not before & {worker["pid"] for worker in after.values()}
    assert not any(worker["renewal"] for worker in after.values())
    all_ran_once(daemon, jobs)


def test_a_worker_that_is_to_be_replaced_finishes_its_job_and_the_others_wait_for_their_turn(
    daemon: Daemon, gate: pathlib.Path
) -> None:
    jobs = [submit(daemon, GATED.format(gate=gate)) for _ in range(2)]
    wait_until(lambda: daemon.ask("status")["jobs"]["running"] == 2)
    assert daemon.ask("restart", "scripts") == {"workers": ["scripts/1", "scripts/2"]}
    now = workers(daemon)
    assert (now["scripts/1"]["state"], now["scripts/1"]["renewal"]) == ("stopping", "restart")
    assert (now["scripts/2"]["state"], now["scripts/2"]["renewal"]) == ("busy", "restart")
    late = daemon.ctl("restart", "--wait", "--timeout", "100ms")
    assert late.returncode == 124 and b"still to be replaced" in late.stderr
    assert b"(restart due)" in daemon.ctl("status").stdout
    gate.touch()
    assert daemon.ctl("wait", "--timeout", "30", *map(str, jobs)).returncode == 0
    wait_until(lambda: not any(worker["renewal"] for worker in workers(daemon).values()))
    assert [len(daemon.ask("show", str(job))["attempts"]) for job in jobs] == [1, 1]


def test_a_reload_changes_limits_and_pools_and_no_running_job(daemon: Daemon, gate: pathlib.Path) -> None:
    running = submit(daemon, GATED.format(gate=gate))
    wait_until(lambda: daemon.ask("show", str(running))["state"] == "running")
    pids = {worker["pid"] for worker in workers(daemon).values()}
    daemon.settings.write_text(
        SETTINGS + 'limits = { wall = "77s" }\n[pools.extra]\nqueues = ["extra"]\nisolation = "plain"\n'
    )
    done = daemon.ctl("reload")
    assert done.returncode == 0 and b"pool extra is new" in done.stdout, done.stderr
    assert daemon.ask("show", str(submit(daemon, "true")))["limits"]["wall_s"] == 77.0
    assert (
        daemon.ctl("run", "-", "--runtime", "shell", "--queue", "extra", stdin=b"echo $JOB_QUEUE").stdout == b"extra\n"
    )
    assert pids == {worker["pid"] for worker in workers(daemon).values()}
    gate.touch()
    assert daemon.ctl("wait", "--timeout", "30", str(running)).returncode == 0
    whole = daemon.ask("show", str(running))
    assert (whole["limits"]["wall_s"], len(whole["attempts"])) == (600.0, 1)
    daemon.settings.write_text(SETTINGS)
    assert daemon.ask("reload")["pools"]["removed"] == ["extra"]
    wait_until(lambda: not workers(daemon, "extra"))
    told = daemon.ctl("events", "--limit", "50").stdout.decode()
    assert "settings_reloaded, changed: pools.scripts.limits, pool extra" in told, told


def test_a_reload_of_wrong_settings_changes_nothing_and_says_why(daemon: Daemon) -> None:
    daemon.settings.write_text(SETTINGS + "retries = -1\n")
    done = daemon.ctl("reload")
    assert done.returncode == 2
    assert b"nothing has changed" in done.stderr and b"config.toml: pools.scripts.retries" in done.stderr
    health = daemon.ctl("health")
    assert health.returncode == 1 and b"the last reload changed nothing" in health.stdout
    daemon.settings.write_text(SETTINGS)
    daemon.process.send_signal(signal.SIGHUP)  # type: ignore[union-attr]
    wait_until(lambda: daemon.ctl("health").returncode == 0)


def test_what_only_a_restart_applies_is_named(daemon: Daemon) -> None:
    daemon.settings.write_text(SETTINGS.replace("3s", "4s"))
    assert daemon.ask("reload")["needs_restart"] == ["hang_timeout"]
    assert b"only a restart of the daemon applies it: hang_timeout" in daemon.ctl("reload").stdout


def test_changed_workers_settings_replace_the_workers_after_their_jobs(daemon: Daemon) -> None:
    before = {worker["pid"] for worker in workers(daemon).values()}
    jobs = load(daemon, 20)
    daemon.settings.write_text('kill_grace = "1s"\n' + SETTINGS)
    done = daemon.ask("reload")
    assert (done["changed"], done["workers"]) == (["kill_grace"], ["scripts/1", "scripts/2"])
    wait_until(lambda: not before & {worker["pid"] for worker in workers(daemon).values()})
    all_ran_once(daemon, jobs)


def test_a_drain_lets_running_jobs_finish_and_starts_no_other(daemon: Daemon, gate: pathlib.Path) -> None:
    running = submit(daemon, GATED.format(gate=gate))
    wait_until(lambda: daemon.ask("show", str(running))["state"] == "running")
    late = daemon.ctl("drain", "--timeout", "100ms")
    assert late.returncode == 124 and b"1 job still runs" in late.stderr
    waiting = submit(daemon, "echo waited")
    assert b"draining" in daemon.ctl("explain", str(waiting)).stdout
    broker = daemon.pid_of("broker")
    os.kill(broker, signal.SIGKILL)
    wait_until(lambda: not alive(broker))
    assert daemon.ask("status")["state"] == "draining"
    gate.touch()
    assert daemon.ctl("drain", "--timeout", "30s").stdout == b"drained: nothing runs\n"
    assert daemon.ask("show", str(running))["state"] == "completed"
    assert daemon.ask("show", str(waiting))["state"] == "queued"
    assert daemon.ctl("resume").returncode == 0
    assert daemon.ctl("wait", "--timeout", "30", str(waiting)).returncode == 0
    assert daemon.ask("status")["state"] == "running"


def test_after_a_drain_the_stop_is_immediate(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(settings=SETTINGS).start()
    assert daemon.ctl("drain", "--timeout", "30s").returncode == 0
    job = submit(daemon, "true")
    assert daemon.stop(10) == 0
    assert daemon.start().ask("status")["state"] == "running"
    assert daemon.ctl("wait", "--timeout", "30", str(job)).returncode == 0


def test_a_hung_worker_is_replaced_and_its_job_runs_again(daemon: Daemon, gate: pathlib.Path) -> None:
    job = submit(daemon, GATED.format(gate=gate))
    hung = wait_until(lambda: next((w for w in workers(daemon).values() if w["job"] == job), None))
    os.kill(hung["pid"], signal.SIGSTOP)
    wait_until(lambda: len(daemon.ask("show", str(job))["attempts"]) == 2, 20)
    gate.touch()
    assert daemon.ctl("wait", "--timeout", "30", str(job)).returncode == 0
    first = daemon.ask("show", str(job))["attempts"][0]
    assert first["reason"] == "worker_lost" and f"{hung['name']} hung: no beat for " in first["message"]
    assert workers(daemon)[hung["name"]]["last_exit"].startswith("hung: no beat")


def test_a_stopped_broker_is_replaced_and_its_clients_notice_nothing(daemon: Daemon, gate: pathlib.Path) -> None:
    job = submit(daemon, GATED.format(gate=gate))
    broker = daemon.pid_of("broker")
    os.kill(broker, signal.SIGSTOP)
    gate.touch()
    done = daemon.ctl("wait", "--timeout", "30", str(job))
    assert done.returncode == 0, done.stderr
    assert daemon.pid_of("broker") != broker
    assert len(daemon.ask("show", str(job))["attempts"]) == 1


def switches(pid: int) -> int:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])


def test_an_idle_daemon_sleeps_but_for_its_beats(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(settings='[pools.scripts]\nisolation = "plain"\n').start()
    wait_until(lambda: all(worker["state"] == "idle" for worker in workers(daemon).values()))
    pids = [daemon.pid, daemon.pid_of("broker"), *(worker["pid"] for worker in workers(daemon).values())]
    before: dict[int, int] = {}

    def quiet_for_a_second() -> bool:
        nonlocal before
        now = {pid: switches(pid) for pid in pids}
        rested = before and all(now[pid] - before[pid] <= 1 for pid in pids)
        before = now
        pathlib.Path("/proc/self/stat").read_text()
        signal.sigtimedwait([], 1.0)
        return bool(rested)

    wait_until(quiet_for_a_second, 15)
