"""The hung, the fat and the starved: who is ended for it, with what said, and who must not be blamed."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from arbiter_harness import Daemon, Process, daemon_in, eventually


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with daemon_in(tmp_path, hang_timeout="1.5") as one:
        yield one


def pass_time(seconds: float) -> None:
    """For what must not happen within it."""
    end = time.monotonic() + seconds
    eventually(lambda: time.monotonic() > end, seconds + 10)


def stopped_state(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_a_silent_worker_says_where_it_is_and_is_replaced(daemon: Daemon) -> None:
    daemon.tell("scripts-1.does", "quiet")
    daemon.start()
    exited = eventually(lambda: daemon.heard("exited"))[0]
    assert exited["worker"] == "scripts/1" and exited["how"] == "killed"
    assert exited["cause"].startswith("hung: no beat for ")
    assert "Fatal Python error: Aborted" in daemon.log.read_text() and "dummy_worker.py" in daemon.log.read_text()


def test_a_stopped_worker_is_hung_too_and_the_others_are_not(daemon: Daemon) -> None:
    daemon.start()
    workers = daemon.living_workers()
    os.kill(workers["worker scripts/1"].pid, signal.SIGSTOP)
    exited = eventually(lambda: daemon.heard("exited"))[0]
    assert (exited["worker"], exited["cause"][:17]) == ("scripts/1", "hung: no beat for")
    eventually(lambda: len(daemon.living_workers()) == 2)
    pass_time(2.0)
    assert workers["worker scripts/2"].alive and len(daemon.heard("exited")) == 1


def test_a_worker_that_is_deaf_to_the_abort_is_killed(daemon: Daemon) -> None:
    daemon.tell("scripts-1.does", "numb")
    daemon.start(DUMMY_CONSTANTS="supervisor.arbiter.force.DUMP_S=0.2")
    exited = eventually(lambda: daemon.heard("exited"))[0]
    assert exited["cause"].startswith("hung: no beat for")


def test_a_worker_that_is_only_starting_has_more_time(daemon: Daemon) -> None:
    daemon.tell("scripts-1.does", "slow-start")
    # Far more than it takes to get here on a busy machine, and than the 1.5 s that are watched then.
    daemon.start(ready=False, DUMMY_CONSTANTS="supervisor.arbiter.watch.STARTING_S=8.0")
    starting = eventually(lambda: daemon.children().get("worker scripts/1"))
    assert starting is not None
    pass_time(2.5)
    assert starting.alive
    exited = eventually(lambda: daemon.heard("exited"), 20)[0]
    assert exited["cause"].startswith("hung: no beat for ")


def test_a_silent_broker_is_replaced_and_the_workers_go_on(daemon: Daemon) -> None:
    daemon.start()
    workers, first = daemon.living_workers(), daemon.children()["broker"]
    daemon.tell("broker.hangs")
    eventually(lambda: daemon.children().get("broker", first).pid != first.pid)
    assert "the broker hung: no beat for" in daemon.log.read_text()
    assert all(worker.alive for worker in workers.values())
    assert daemon.ask() == daemon.children()["broker"].pid


def test_an_arbiter_that_was_stopped_itself_blames_nobody(daemon: Daemon) -> None:
    daemon.start()
    everybody = [Process(daemon.pid), *daemon.children().values()]
    for process in everybody:
        os.kill(process.pid, signal.SIGSTOP)
    eventually(lambda: all(stopped_state(process.pid) for process in everybody))
    pass_time(3.0)
    # The one that judges wakes up first: all others look dead to it.
    os.kill(daemon.pid, signal.SIGCONT)
    pass_time(0.7)
    for process in everybody:
        os.kill(process.pid, signal.SIGCONT)
    pass_time(2.5)
    assert all(process.alive for process in everybody)
    assert daemon.heard("exited") == []


def test_a_worker_far_above_its_pools_memory_is_killed_and_that_is_said(daemon: Daemon) -> None:
    daemon.settings["pools.scripts.max_rss"] = "32M"
    daemon.tell("scripts-1.does", "fat")
    daemon.start()
    slim = daemon.living_workers()["worker scripts/2"]
    exited = eventually(lambda: daemon.heard("exited"))[0]
    assert exited["worker"] == "scripts/1" and exited["how"] == "killed"
    assert "more than 2 times its pool's max_rss (32 MiB)" in exited["cause"]
    assert slim.alive


def test_without_a_free_descriptor_the_arbiter_lives_on_and_catches_up_afterwards(daemon: Daemon) -> None:
    daemon.start()
    usual = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (3, usual[1]))
    workers, broker = daemon.living_workers(), daemon.children()["broker"]
    workers["worker scripts/1"].kill()
    broker.kill()
    pass_time(1.5)
    assert Process(daemon.pid).alive and workers["worker scripts/2"].alive
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, usual)
    eventually(lambda: "broker" in daemon.children() and "worker scripts/1" in daemon.children())
    eventually(lambda: [exited for exited in daemon.heard("exited") if exited["tree_gone"]])
    assert daemon.members()["scripts/1"]["state"] != "parked"
