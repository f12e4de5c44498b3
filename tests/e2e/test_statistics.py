"""What the daemon tells of its workers and its past: right, once, and still there after every kind of restart."""

from __future__ import annotations

import grp
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness import ROOT, Daemon, running_daemon, wait_until

SLEEPER = b"[ $JOB_ATTEMPT = 1 ] && exec sleep 3518; exit 0"


def submit(daemon: Daemon, text: bytes, *options: str) -> int:
    return int(daemon.ctl("-q", "submit", "-", "--runtime", "shell", *options, stdin=text, check=True).stdout)


def workers(daemon: Daemon) -> dict[str, dict[str, Any]]:
    return {worker["name"]: worker for worker in daemon.ask("workers")}


def events(daemon: Daemon, *options: str) -> list[dict[str, Any]]:
    done = daemon.ctl("events", "--after", "0", "--json", *options, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def kinds(daemon: Daemon) -> list[str]:
    return [event["event"] for event in events(daemon) if event["job"] is None]


def until_idle(daemon: Daemon) -> None:
    wait_until(lambda: all(w["state"] == "idle" for w in daemon.ask("status")["workers"]), 30, "idle workers")


def restart_of_the_broker(daemon: Daemon) -> None:
    broker = daemon.pid_of("broker")
    os.kill(broker, signal.SIGKILL)
    wait_until(lambda: daemon.ask("status") and daemon.pid_of("broker") != broker, 30, "another broker")


def running(daemon: Daemon, job: int) -> dict[str, Any]:
    return wait_until(
        lambda: next((w for w in workers(daemon).values() if w["job"] == job and w["job_started_at"]), None),
        30,
        f"job {job} to run",
    )


def numbers(worker: dict[str, Any]) -> dict[str, Any]:
    return {name: worker[name] for name in ("done", "failed", "restarts", "reasons")}


def test_what_a_job_uses_is_told_while_it_runs_also_by_another_broker(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(workers=1).start()
    job = submit(daemon, b"while :; do :; done", "--memory", "64M")

    def used(least_s: float) -> dict[str, Any]:
        return wait_until(
            lambda: next(
                (w for w in workers(daemon).values() if w["job"] == job and (w["cpu_s"] or 0) > least_s), None
            ),
            60,
            f"a use of more than {least_s} s",
        )

    before = used(0.2)
    assert 0 < before["memory_bytes"] < 64 << 20
    restart_of_the_broker(daemon)
    used(before["cpu_s"])
    daemon.ctl("cancel", str(job), check=True)
    daemon.ctl("wait", str(job))
    assert [(w["cpu_s"], w["memory_bytes"]) for w in workers(daemon).values()] == [(None, None)]


def test_a_killed_worker_is_a_restart_with_its_reason_that_outlives_broker_and_daemon(
    make_daemon: Callable[..., Daemon],
) -> None:
    daemon = make_daemon(workers=1).start()
    job = submit(daemon, SLEEPER)
    worker = running(daemon, job)
    assert (worker["state"], worker["job_name"], worker["done"], worker["restarts"]) == ("busy", "stdin", 0, 0)
    wait_until(lambda: (running(daemon, job)["last_beat_s"] or 99) < 30, 30, "a young beat")

    os.kill(worker["pid"], signal.SIGKILL)
    assert daemon.ctl("wait", str(job)).returncode == 0
    until_idle(daemon)
    known = numbers(workers(daemon)["scripts/1"])
    assert known == {"done": 1, "failed": 1, "restarts": 1, "reasons": {"SIGKILL": 1}}
    assert kinds(daemon) == ["daemon_started", "worker_started", "worker_died", "worker_started"]
    died = next(event for event in events(daemon) if event["event"] == "worker_died")
    assert (died["data"]["worker"], died["data"]["reason"], died["state"]) == ("scripts/1", "SIGKILL", None)

    restart_of_the_broker(daemon)
    until_idle(daemon)
    assert numbers(workers(daemon)["scripts/1"]) == known, "a worker that attaches again has not started again"
    assert kinds(daemon)[4:] == ["broker_restarted"]
    assert daemon.ctl("wait", str(submit(daemon, b"exit 3"))).returncode == 1
    known |= {"failed": 2}
    assert daemon.stop() == 0
    assert "last minute: 0 completed, 1 failed; now 0 running, 0 queued, 0 scheduled" in daemon.words()

    daemon.start()
    until_idle(daemon)
    assert numbers(workers(daemon)["scripts/1"]) == known, "a stop is no restart of a worker"
    assert kinds(daemon)[5:] == ["worker_stopped", "daemon_stopped", "daemon_started", "worker_started"]
    busy_s = workers(daemon)["scripts/1"]["busy_s"]
    assert daemon.ctl("wait", str(submit(daemon, b"sleep 0.2"))).returncode == 0
    after = workers(daemon)["scripts/1"]
    assert (after["done"], after["failed"]) == (2, 2)
    assert after["busy_s"] >= busy_s + 0.15


def test_a_worker_that_makes_room_is_recycled_and_no_death(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(settings="[pools.scripts]\nmax_jobs = 1\n", workers=1).start()
    for _ in range(2):
        assert daemon.ctl("wait", str(submit(daemon, b"exit 0"))).returncode == 0
    wait_until(lambda: kinds(daemon).count("worker_started") == 3, 30, "the third worker")
    assert kinds(daemon)[1:] == ["worker_started", "worker_recycled"] * 2 + ["worker_started"]
    expected = {"done": 2, "failed": 0, "restarts": 2, "reasons": {"max_jobs": 2}}
    assert numbers(workers(daemon)["scripts/1"]) == expected


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running_daemon(tmp_path_factory.mktemp("statistics") / "d", 'synchronous = "normal"\n') as daemon:
        yield daemon


def test_stats_are_those_of_the_jobs_that_there_were(shared: Daemon) -> None:
    fine = [submit(shared, b"exit 0", "--queue", "quick") for _ in range(3)]
    bad = [submit(shared, b"exit 3"), submit(shared, b"sleep 99", "--timeout", "200ms")]
    assert shared.ctl("wait", *map(str, fine + bad)).returncode == 1
    cancelled = submit(shared, b"exit 0", "--delay", "1h")
    shared.ctl("cancel", str(cancelled), check=True)

    stats = shared.ask("stats")
    queues = {queue["queue"]: queue["jobs"] for queue in stats["queues"]}
    assert (queues["quick"]["completed"], queues["default"]["failed"], queues["default"]["cancelled"]) == (3, 2, 1)
    assert stats["jobs"] == shared.ask("status")["jobs"]
    assert stats["finished"]["last_hour"] == {"completed": 3, "failed": 2, "cancelled": 1}
    assert stats["failures"] == [{"reason": "exit", "jobs": 1}, {"reason": "timeout", "jobs": 1}]
    assert stats["times"]["of_jobs"] == 5
    assert stats["times"]["run_s"]["max"] > 0.15 and stats["times"]["run_s"]["p50"] >= 0
    (pool,) = stats["pools"]
    assert (pool["pool"], pool["done"], pool["failed"], sum(pool["workers"].values())) == ("scripts", 3, 2, 2)
    assert sum(worker["done"] for worker in shared.ask("status")["workers"]) == 3


def test_a_follower_misses_nothing_and_sees_nothing_twice_when_the_broker_dies(
    shared: Daemon, tmp_path: pathlib.Path
) -> None:
    output = tmp_path / "events"
    with open(output, "wb") as file:
        follower = subprocess.Popen(
            [sys.executable, "-m", "ctl.main", "--socket", shared.socket, "events", "-f", "--json", "--limit", "0"],
            stdout=file,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
        )
    try:
        # Not before it has begun: it shows one that is submitted while it watches.
        wait_until(lambda: submit(shared, b"exit 0") and output.stat().st_size, 30, "the follower's first event")
        for _ in range(3):
            restart_of_the_broker(shared)
            assert shared.ctl("wait", str(submit(shared, b"exit 0"))).returncode == 0
        last = submit(shared, b"exit 0")
        assert shared.ctl("wait", str(last)).returncode == 0

        def seen() -> list[dict[str, Any]]:
            return [json.loads(line) for line in output.read_text().splitlines(keepends=True) if line.endswith("\n")]

        def is_end(event: dict[str, Any]) -> bool:
            return (event["job"], event["event"]) == (last, "completed")

        wait_until(lambda: any(map(is_end, seen())), 30, "the last event")
        begin = seen()[0]["cursor"]
        there = [event for event in events(shared) if event["cursor"] >= begin]
        told = seen()
        assert told == there[: len(told)]
        assert [event["event"] for event in told].count("broker_restarted") == 3
    finally:
        follower.send_signal(signal.SIGINT)
        assert follower.wait(20) == 130


def test_cursor_limit_and_job_choose_the_events(shared: Daemon) -> None:
    job = submit(shared, b"exit 0")
    assert shared.ctl("wait", str(job)).returncode == 0
    of_job = events(shared, "--job", str(job))
    assert [event["event"] for event in of_job] == ["submitted", "running", "completed"]
    everything = events(shared)
    assert [event for event in everything if event["job"] == job] == of_job
    assert events(shared, "--limit", "2") == everything[:2]
    newest = shared.ctl("events", "--json", "--limit", "3", "--job", "@last").stdout
    assert [json.loads(line) for line in newest.splitlines()] == of_job
    after = shared.ctl("events", "-q", "--after", str(of_job[0]["cursor"]), "--job", str(job)).stdout.split()
    assert [int(cursor) for cursor in after] == [event["cursor"] for event in of_job[1:]]
    assert shared.ctl("events", "--job", "999999").returncode == 3
    assert f"job {job}: completed" in shared.ctl("events", "--job", str(job)).stdout.decode()


def ask(connection: socket.socket, request: dict[str, Any]) -> list[dict[str, Any]]:
    """All answers to one request."""
    connection.sendall(json.dumps({"id": 1, **request}).encode() + b"\n")
    answers = []
    with connection.makefile("rb") as lines:
        while not answers or answers[-1]["re"] == "item":
            line = lines.readline()
            assert line, "the connection was closed"
            answers.append(json.loads(line))
    return answers


def test_limit_and_cursor_together_with_following_are_refused(shared: Daemon) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(shared.socket)
        (answer,) = ask(connection, {"op": "events", "follow": True, "after": 0, "limit": 1})
        assert (answer["code"], "limit" in answer["message"]) == ("bad_request", True)
        *items, end = ask(connection, {"op": "events", "limit": 2})
        assert (len(items), end["cursor"]) == (2, items[-1]["value"]["cursor"])


def test_a_reader_that_does_not_read_is_told_lagged_while_another_sees_all(shared: Daemon) -> None:
    with shared.client() as client:
        client.submit_many([{"source": "exit 0", "runtime": "shell", "delay": "1h", "name": "x" * 255}] * 1500)
    stalled = socket.socket(socket.AF_UNIX)
    stalled.connect(shared.socket)
    stalled.settimeout(30)
    request = {"op": "events", "after": 0, "follow": True}
    stalled.sendall(b"".join(json.dumps({"id": number, **request}).encode() + b"\n" for number in range(1, 9)))
    fast = ask_fast(shared)
    assert len(fast) >= 1500
    time.sleep(6)  # what is tested is a client that does not read for longer than it is waited for
    with stalled, stalled.makefile("rb") as lines:
        answers = [json.loads(line) for line in lines]
    assert {answer["code"] for answer in answers if answer["re"] == "error"} == {"lagged"}
    cursors = [answer["value"]["cursor"] for answer in answers if answer["re"] == "item" and answer["id"] == 1]
    assert cursors == [event["cursor"] for event in fast[: len(cursors)]]
    assert ask_fast(shared)[: len(fast)] == fast


def ask_fast(daemon: Daemon) -> list[dict[str, Any]]:
    with daemon.client() as client:
        return [event.raw for event in client.events(after=0)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_member_of_the_group_sees_the_events_of_its_own_jobs_alone() -> None:
    uid = gid = 65534
    name = grp.getgrgid(gid).gr_name
    with tempfile.TemporaryDirectory(prefix="wst-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        with running_daemon(pathlib.Path(folder) / "d", f'socket_group = "{name}"\n') as daemon:
            os.chmod(daemon.folder, 0o755)
            theirs = submit(daemon, b"exit 0")
            seen = as_user(uid, gid, daemon.socket, theirs)
            assert seen["jobs"] == [seen["own"]]
            assert seen["kinds"][0] == "submitted"
            assert seen["newest"] == [seen["own"]]
            assert seen["stranger"] == "not_found"
            assert seen["workers"] == ["scripts/1", "scripts/2"]
            assert {event["job"] for event in events(daemon)} == {None, theirs, seen["own"]}
            assert daemon.ctl("status", "-q", "@last").stdout == b"%d\n" % theirs


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_member_of_the_group_sees_of_the_running_job_of_another_the_number_alone() -> None:
    with tempfile.TemporaryDirectory(prefix="wst-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        group = grp.getgrgid(65534).gr_name
        with running_daemon(pathlib.Path(folder) / "d", f'socket_group = "{group}"\n') as daemon:
            os.chmod(daemon.folder, 0o755)
            theirs = submit(daemon, b"while :; do :; done")
            wait_until(lambda: any(worker["memory_bytes"] for worker in daemon.ask("workers")), 20)
            seen = as_user(65534, 65534, daemon.socket, theirs)
            assert seen["busy"] == [{"job": theirs, "job_name": None, "job_started_at": None, "memory_bytes": None}]
            (known,) = [worker for worker in daemon.ask("workers") if worker["job"] == theirs]
            assert known["job_name"] == "stdin" and known["memory_bytes"] > 0
            daemon.ctl("cancel", "--wait", str(theirs), check=True)


def as_user(uid: int, gid: int, path: str, stranger: int) -> dict[str, Any]:
    """What that user is answered; asked by a child of this process."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            os.write(write_end, json.dumps(_look_around(path, stranger)).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(write_end)
    with open(read_end, "rb") as answers:
        said = answers.read()
    assert os.waitpid(pid, 0)[1] == 0
    return json.loads(said)


def _look_around(path: str, stranger: int) -> dict[str, Any]:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    connection.connect(path)
    fields = {"op": "submit", "request_id": "of-a-member", "name": "a.sh", "type": "shell", "source": "exit 0"}
    own = ask(connection, fields)[0]["value"]["job"]
    ask(connection, {"op": "wait", "jobs": [own]})
    items = [answer["value"] for answer in ask(connection, {"op": "events", "after": 0})[:-1]]
    newest = [answer["value"] for answer in ask(connection, {"op": "events", "limit": 2})[:-1]]
    workers = ask(connection, {"op": "workers"})[0]["value"]["workers"]
    return {
        "own": own,
        "jobs": sorted({item["job"] for item in items}),
        "kinds": [item["event"] for item in items],
        "newest": sorted({item["job"] for item in newest}),
        "stranger": ask(connection, {"op": "events", "after": 0, "job": stranger})[0]["code"],
        "workers": [worker["name"] for worker in workers],
        "busy": [
            {name: worker[name] for name in ("job", "job_name", "job_started_at", "memory_bytes")}
            for worker in workers
            if worker["job"] not in (None, own)
        ],
    }
