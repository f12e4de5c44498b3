"""The end: asked for once, twice, three times; with busy and deaf workers, and with a broker that dies meanwhile."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from arbiter_harness import Daemon, Process, daemon_in, eventually

from supervisor.arbiter.fleet import WorkerFleet
from supervisor.arbiter.loop import Loop
from supervisor.arbiter.reap import Child
from supervisor.arbiter.slot import WorkerSlot
from supervisor.config import Pool
from supervisor.scoreboard import Slot
from supervisor.wire.tree import Exited


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with daemon_in(tmp_path) as one:
        yield one


def nothing_is_left(daemon: Daemon, children: list[Process]) -> bool:
    return not daemon.socket.exists() and not any(child.alive for child in children)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_drains_the_workers_records_their_exits_and_closes_the_broker(
    daemon: Daemon, number: signal.Signals
) -> None:
    daemon.start()
    children = list(daemon.children().values())
    daemon.signal(number)
    assert daemon.wait() == 0
    assert nothing_is_left(daemon, children)
    assert [exited["cause"] for exited in daemon.heard("exited")] == ["exited with code 0"] * 2
    said = [line.split('"say":"')[1].split('"')[0] for line in daemon.read("broker.heard").splitlines()]
    assert said.index("drain") < said.index("exited") and said[-1] == "close"
    assert daemon.heard("fleet")[-1]["draining"] is True


def test_a_client_may_ask_for_the_stop(daemon: Daemon) -> None:
    daemon.start()
    daemon.ask(b"stop\n")
    assert daemon.wait() == 0


def test_a_busy_worker_is_told_twice_when_the_time_is_over(daemon: Daemon) -> None:
    daemon.settings["shutdown_timeout"] = "0.3"
    daemon.tell("scripts-1.does", "busy")
    daemon.start()
    assert daemon.stop() == 0
    assert {exited["cause"] for exited in daemon.heard("exited")} == {"exited with code 0"}


def test_a_second_signal_ends_the_jobs_without_waiting_for_them(daemon: Daemon) -> None:
    daemon.tell("scripts-1.does", "busy")
    daemon.start()
    daemon.signal(signal.SIGTERM)
    eventually(lambda: daemon.read("scripts-1.terms") == "1")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait(10) == 0
    assert {exited["cause"] for exited in daemon.heard("exited")} == {"exited with code 0"}


def test_two_signals_at_once_reach_the_workers_as_two(daemon: Daemon) -> None:
    daemon.tell("scripts-1.does", "busy")
    daemon.start()
    daemon.signal(signal.SIGTERM)
    daemon.signal(signal.SIGINT)
    assert daemon.wait(10) == 0


def test_a_third_signal_kills_what_listens_to_nothing(daemon: Daemon) -> None:
    daemon.tell("scripts-1.does", "deaf")
    daemon.start()
    daemon.signal(signal.SIGTERM)
    eventually(lambda: daemon.read("scripts-1.terms") == "1" and daemon.heard("exited"))
    daemon.signal(signal.SIGTERM)
    eventually(lambda: "ended now" in daemon.log.read_text())
    daemon.signal(signal.SIGTERM)
    assert daemon.wait(10) == 0
    causes = {exited["worker"]: exited["cause"] for exited in daemon.heard("exited")}
    assert causes["scripts/1"] == "was killed at the shutdown" and causes["scripts/2"] == "exited with code 0"


def test_a_deaf_worker_is_killed_when_every_time_is_over(daemon: Daemon) -> None:
    daemon.settings.update({"shutdown_timeout": "0.2", "kill_grace": "0"})
    daemon.tell("scripts-1.does", "deaf")
    daemon.start(DUMMY_CONSTANTS="supervisor.arbiter.shutdown._AFTER_GRACE_S=0.5")
    assert daemon.stop() == 0
    assert "the remaining workers are killed" in daemon.log.read_text()


def test_workers_that_die_during_the_shutdown_are_not_replaced(daemon: Daemon) -> None:
    for worker in ("scripts-1", "scripts-2"):
        daemon.tell(f"{worker}.does", "busy")
    daemon.start()
    workers = list(daemon.living_workers().values())
    daemon.signal(signal.SIGTERM)
    eventually(lambda: daemon.read("scripts-2.terms") == "1")
    for worker in workers:
        worker.kill()
    assert daemon.wait() == 0
    assert len(daemon.heard("exited")) == 2


def test_a_broker_that_dies_during_the_shutdown_is_started_once_more_to_record_the_exits(daemon: Daemon) -> None:
    daemon.tell("scripts-1.does", "busy")
    daemon.start()
    daemon.signal(signal.SIGTERM)
    eventually(lambda: daemon.read("scripts-1.terms") == "1" and daemon.heard("drain"))
    daemon.children()["broker"].kill()
    eventually(lambda: len(daemon.read("broker.starts").splitlines()) == 2 and len(daemon.heard("drain")) == 2)
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    assert daemon.heard("exited")[-1]["worker"] == "scripts/1"
    assert len(daemon.heard("close")) == 1


def test_a_broker_that_dies_twice_during_the_shutdown_ends_it(daemon: Daemon) -> None:
    for worker in ("scripts-1", "scripts-2"):
        daemon.tell(f"{worker}.does", "busy")
    daemon.start()
    daemon.signal(signal.SIGTERM)
    eventually(lambda: daemon.heard("drain"))
    first = daemon.children()["broker"]
    first.kill()
    eventually(lambda: len(daemon.heard("drain")) == 2)
    children = list(daemon.children().values())
    daemon.children()["broker"].kill()
    assert daemon.wait() == 75
    assert nothing_is_left(daemon, children)


def test_a_stop_before_the_broker_is_ready_ends_too(daemon: Daemon) -> None:
    daemon.start(ready=False)
    eventually(lambda: "broker" in daemon.children())
    assert daemon.stop() == 0
    assert not os.path.exists(daemon.socket)


def test_nothing_is_left_of_the_work_folder_outside_of_the_state_folder(daemon: Daemon) -> None:
    daemon.start()
    instance = (daemon.state_dir / "instance").read_text().strip()
    work = Path(f"/var/tmp/worker-supervisor-{instance}")
    assert work.exists() == (os.geteuid() == 0)
    if work.exists():
        assert work.stat().st_mode & 0o777 == 0o711
    assert daemon.stop() == 0
    assert not work.exists()


def test_a_worker_that_had_ended_before_it_could_be_killed_was_not_killed() -> None:
    told: list[Exited] = []

    def fork(slot: WorkerSlot) -> Child:
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        child = Child(pid, os.pidfd_open(pid))
        select.select([child.pidfd], [], [])
        return child

    loop = Loop()
    fleet = WorkerFleet(loop, "a", fork, changed=lambda: None, exited=told.append)
    aftermath = SimpleNamespace(verify=lambda settled: (settled(True), loop.stop(0)))
    fleet.add(WorkerSlot(Pool(name="scripts", replicas=1), 1, 0, Slot.of_nobody()))
    fleet.start(aftermath)  # type: ignore[arg-type]
    fleet.stop_replacing()
    fleet.send(signal.SIGKILL)
    loop.run()
    loop.close()
    assert [(one.cause, one.how) for one in told] == [("exited with code 0", "left")]
