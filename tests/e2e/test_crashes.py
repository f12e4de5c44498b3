"""Who is killed when, and what becomes of the job: one test for each row of the table in docs/ARCHITECTURE.md."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.harness import ROOT, Daemon, alive, children_of, title_of, tree_of, wait_until

LEVELS = ("namespace", "plain")
# Tries: the first waits to be killed, the second is done at once.
SLEEPER = "echo attempt $JOB_ATTEMPT; [ $JOB_ATTEMPT = 1 ] && sleep 3517; exit 0"


def level(name: str) -> str:
    return f'kill_grace = "500ms"\nshutdown_timeout = "2s"\n[pools.scripts]\nisolation = "{name}"\n'


@pytest.fixture(params=LEVELS)
def daemon(request: pytest.FixtureRequest, make_daemon: Callable[..., Daemon]) -> Daemon:
    return make_daemon(settings=level(request.param)).start()


def submit(daemon: Daemon, text: str, *options: str) -> int:
    done = daemon.ctl("-q", "submit", "-", "--runtime", "shell", *options, stdin=text.encode())
    assert done.returncode == 0, done.stderr.decode()
    return int(done.stdout)


def running_job(daemon: Daemon, text: str = SLEEPER, *options: str) -> tuple[int, int]:
    """A job whose `sleep 3517` runs, and the pid of that."""
    job = submit(daemon, text, *options)
    return job, wait_until(lambda: sleeping(daemon), saying="the job's start")


def sleeping(daemon: Daemon) -> int | None:
    return next((pid for pid, name in daemon.survivors().items() if "sleep 3517" in name and "sh" not in name), None)


def parent_of(pid: int) -> int:
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def worker_of(daemon: Daemon, job: int) -> int:
    return next(w["pid"] for w in daemon.ask("status")["workers"] if w["job"] == job)


def show(daemon: Daemon, job: int) -> dict:
    return daemon.ask("show", str(job))


def reasons(daemon: Daemon, job: int) -> list[str]:
    return [attempt["reason"] for attempt in show(daemon, job)["attempts"]]


def test_worker_killed_mid_job_is_replaced_and_its_job_runs_again(daemon: Daemon) -> None:
    job, sleeper = running_job(daemon)
    worker = worker_of(daemon, job)
    os.kill(worker, signal.SIGKILL)
    assert daemon.ctl("wait", str(job)).returncode == 0
    assert not alive(sleeper)
    assert reasons(daemon, job) == ["worker_lost", "ok"]
    wait_until(lambda: all(w["state"] == "idle" for w in daemon.ask("status")["workers"]), saying="a new worker")
    assert worker not in [w["pid"] for w in daemon.ask("status")["workers"]]


def test_holder_killed_mid_job_loses_the_attempt_and_nothing_else(daemon: Daemon) -> None:
    job, sleeper = running_job(daemon)
    worker = worker_of(daemon, job)
    holder = next(pid for pid in children_of(worker) if ": holder" in title_of(pid))
    os.kill(holder, signal.SIGKILL)
    assert daemon.ctl("wait", str(job)).returncode == 0
    assert not alive(sleeper)
    assert reasons(daemon, job) == ["worker_lost", "ok"]
    assert alive(worker)


def test_a_keeper_that_was_stopped_does_not_hold_its_job_for_ever(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(settings=level("namespace")).start()
    job, sleeper = running_job(daemon, SLEEPER, "--timeout", "1s")
    keeper = next(pid for pid, name in tree_of(daemon.pid).items() if ": keeper" in name)
    os.kill(keeper, signal.SIGSTOP)
    assert daemon.ctl("wait", str(job), "--timeout", "40s").returncode == 1
    assert reasons(daemon, job) == ["timeout"]
    assert not alive(sleeper)
    assert daemon.ctl("run", "-", "--runtime", "shell", stdin=b"exit 0").returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can walk into a namespace")
def test_a_dead_keeper_whose_namespace_does_not_end_is_given_up(make_daemon: Callable[..., Daemon]) -> None:
    """It stays for as long as somebody outside does not reap what he put inside. Nothing tells that: only the time."""
    daemon = make_daemon(settings=level("namespace")).start()
    job, keeper = running_job(daemon)
    while "keeper" not in title_of(keeper):
        keeper = parent_of(keeper)
    program = "import subprocess,time; kept = subprocess.Popen(['sleep','100']); time.sleep(100)"
    careless = subprocess.Popen(["nsenter", f"--pid=/proc/{keeper}/ns/pid", "--no-fork", sys.executable, "-c", program])
    try:
        wait_until(lambda: children_of(careless.pid), saying="the process inside")
        os.kill(keeper, signal.SIGKILL)
        wait_until(lambda: show(daemon, job)["state"] == "failed", 30, "the end of the job")
        assert reasons(daemon, job) == ["stuck"]
    finally:
        careless.kill()
        careless.wait()
    assert daemon.stop() == 0


def test_broker_killed_mid_job_changes_nothing_for_the_job(daemon: Daemon) -> None:
    job = submit(daemon, "echo begin; sleep 1.5; echo end")
    wait_until(lambda: show(daemon, job)["state"] == "running", saying="the job's start")
    following = subprocess.Popen(
        [sys.executable, "-m", "ctl.main", "--socket", daemon.socket, "logs", "-f", str(job)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=daemon.environment,
    )
    os.kill(daemon.pid_of(": broker"), signal.SIGKILL)
    assert daemon.ctl("wait", str(job)).returncode == 0
    assert reasons(daemon, job) == ["ok"]
    assert following.communicate(timeout=20)[0] == b"begin\nend\n"


def test_supervisor_killed_mid_job_takes_all_with_it_and_the_next_runs_it_again(daemon: Daemon) -> None:
    job, sleeper = running_job(daemon)
    tree = tree_of(daemon.pid)
    daemon.process.kill()
    daemon.process.wait()
    wait_until(lambda: not any(alive(pid) for pid in tree if pid != sleeper), 2, "the end of the daemon's processes")
    daemon.start()
    assert not alive(sleeper)
    assert daemon.ctl("wait", str(job)).returncode == 0
    assert reasons(daemon, job) == ["host_lost", "ok"]


def test_all_killed_at_once_and_started_again(daemon: Daemon) -> None:
    job, sleeper = running_job(daemon)
    for pid in tree_of(daemon.pid):
        if pid != sleeper:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    daemon.process.wait()
    daemon.start()
    assert not alive(sleeper)
    assert daemon.ctl("wait", str(job)).returncode == 0
    assert reasons(daemon, job)[-1] == "ok"


def test_on_loss_fail_ends_a_script_that_must_not_run_twice(daemon: Daemon) -> None:
    job, _ = running_job(daemon, SLEEPER, "--on-loss", "fail")
    os.kill(worker_of(daemon, job), signal.SIGKILL)
    assert daemon.ctl("wait", str(job)).returncode == 1
    assert reasons(daemon, job) == ["worker_lost"]
    assert "--on-loss" in show(daemon, job)["message"]


def test_the_fourth_loss_is_called_poison(daemon: Daemon) -> None:
    job = submit(daemon, "sleep 3517")
    for losses in range(1, 5):
        wait_until(lambda: sleeping(daemon) and show(daemon, job)["state"] == "running", 20, "the job's next start")
        os.kill(worker_of(daemon, job), signal.SIGKILL)
        lost = ["worker_lost"] * losses
        wait_until(lambda lost=lost: reasons(daemon, job)[: len(lost)] == lost, saying="the loss")
    assert daemon.ctl("wait", str(job)).returncode == 1
    shown = show(daemon, job)
    assert [attempt["reason"] for attempt in shown["attempts"]] == ["worker_lost"] * 4
    assert "poison" in shown["message"]


def test_a_job_whose_worker_dies_four_times_before_the_start_is_poison_too(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(workers=1).start()
    assert daemon.ctl("pause").returncode == 0
    job = submit(daemon, "exit 0")
    for losses in range(1, 5):
        wait_until(lambda: [w["state"] for w in daemon.ask("status")["workers"]] == ["idle"], 20, "an idle worker")
        (worker,) = [w["pid"] for w in daemon.ask("status")["workers"]]
        os.kill(worker, signal.SIGSTOP)
        assert daemon.ctl("resume").returncode == 0
        wait_until(lambda: show(daemon, job)["state"] == "running", saying="the lease")
        assert daemon.ctl("pause").returncode == 0
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda losses=losses: show(daemon, job)["losses"] == losses, saying="the loss")
    shown = show(daemon, job)
    assert (shown["state"], shown["reason"], shown["attempts"]) == ("failed", "worker_lost", [])
    assert "poison" in shown["message"]
    assert b"It is poison: 4 times its worker or the machine died under it" in daemon.ctl("explain", str(job)).stdout
    assert daemon.ctl("retry", str(job)).returncode == 0
    assert daemon.ctl("resume").returncode == 0
    assert daemon.ctl("wait", str(job)).returncode == 0
    assert (show(daemon, job)["losses"], reasons(daemon, job)) == (0, ["ok"])


def test_shutdown_lets_a_short_job_finish(daemon: Daemon) -> None:
    job = submit(daemon, "sleep 0.7; echo done")
    wait_until(lambda: show(daemon, job)["state"] == "running", saying="the job's start")
    assert daemon.stop() == 0
    daemon.start()
    assert reasons(daemon, job) == ["ok"]


def test_shutdown_ends_a_long_job_after_its_time_and_gives_it_back(daemon: Daemon) -> None:
    job, sleeper = running_job(daemon)
    assert daemon.stop(15) == 0
    assert not alive(sleeper)
    daemon.start()
    assert daemon.ctl("wait", str(job)).returncode == 0
    assert reasons(daemon, job) == ["interrupted", "ok"]


def test_a_second_signal_hurries_the_shutdown(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(settings='kill_grace = "500ms"\nshutdown_timeout = "60s"\n').start()
    job, sleeper = running_job(daemon)
    daemon.process.send_signal(signal.SIGTERM)
    wait_until(lambda: daemon.ask("status")["state"] == "stopping", saying="the shutdown")
    assert alive(sleeper)
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(10) == 0
    daemon.start()
    assert daemon.ctl("wait", str(job)).returncode == 0
    assert reasons(daemon, job) == ["interrupted", "ok"]


def test_cancel_is_heard_while_the_daemon_drains(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(settings='kill_grace = "500ms"\nshutdown_timeout = "60s"\n').start()
    job, sleeper = running_job(daemon)
    daemon.process.send_signal(signal.SIGTERM)
    wait_until(lambda: daemon.ask("status")["state"] == "stopping", saying="the shutdown")
    assert daemon.ctl("cancel", str(job)).returncode == 0
    assert daemon.process.wait(10) == 0
    assert not alive(sleeper)
    daemon.start()
    assert show(daemon, job)["state"] == "cancelled"


def test_a_cancelled_job_that_floods_its_output_gets_no_further_grace(make_daemon: Callable[..., Daemon]) -> None:
    settings = 'kill_grace = "60s"\nshutdown_timeout = "1s"\n[pools.scripts]\nisolation = "plain"\nprestart = 0\n'
    daemon = make_daemon(settings=settings, workers=1).start()
    flood = "trap 'while :; do head -c 2000000 /dev/zero; sleep 1; done' TERM; sleep 3517 & wait"
    job, _ = running_job(daemon, flood, "--output", "1M")
    assert daemon.ctl("cancel", "--wait", str(job), timeout_s=30).returncode == 0
    assert (show(daemon, job)["state"], reasons(daemon, job)) == ("cancelled", ["cancelled"])


def test_cancel_wins_over_the_loss_of_its_worker(daemon: Daemon) -> None:
    job, _ = running_job(daemon, "trap '' TERM; sleep 3517 & while :; do wait; done")
    worker = worker_of(daemon, job)
    assert daemon.ctl("cancel", str(job)).returncode == 0
    os.kill(worker, signal.SIGKILL)
    daemon.ctl("wait", str(job))
    assert show(daemon, job)["state"] == "cancelled"


def test_a_stopped_client_of_a_dead_daemon_says_so(make_daemon: Callable[..., Daemon], tmp_path: pathlib.Path) -> None:
    daemon = make_daemon()
    done = daemon.ctl("status")
    assert done.returncode == 5
    assert daemon.socket in done.stderr.decode()
    assert "worker-supervisor" in done.stderr.decode()


def test_second_supervisor_is_refused_with_the_pid_of_the_first(make_daemon: Callable[..., Daemon]) -> None:
    first = make_daemon().start()
    second = make_daemon()
    second.start(wait=False)
    assert second.process.wait(20) == 3
    assert str(first.pid) in second.words()
    assert first.ask("status")["pid"] == first.pid


def test_stale_socket_of_a_killed_supervisor_is_taken_over(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon().start()
    daemon.kill()
    assert os.path.exists(daemon.socket)
    daemon.start()
    assert daemon.ask("status")["state"] == "running"


def test_of_many_racing_starts_one_becomes_the_owner(make_daemon: Callable[..., Daemon]) -> None:
    daemons = [make_daemon() for _ in range(12)]
    for daemon in daemons:
        daemon.start(wait=False)
    wait_until(lambda: sum(daemon.ended() for daemon in daemons) == 11, 60, "all but one start being refused")
    assert sorted(daemon.process.returncode for daemon in daemons if daemon.ended()) == [3] * 11
    owner = next(daemon for daemon in daemons if not daemon.ended())
    wait_until(lambda: owner.ctl("status").returncode == 0, 20, "the owner's answer")
