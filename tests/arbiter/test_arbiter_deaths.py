"""Who dies, and what the others do about it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from arbiter_harness import Daemon, Process, daemon_in, eventually


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with daemon_in(tmp_path) as one:
        yield one


def test_a_killed_arbiter_takes_every_child_with_it_and_the_next_one_takes_over(daemon: Daemon) -> None:
    daemon.start()
    children = daemon.children().values()
    daemon.process.kill()
    daemon.process.wait()
    eventually(lambda: not any(child.alive for child in children), within_s=2)
    assert daemon.socket.exists()
    daemon.log.unlink()
    daemon.start()
    assert daemon.ask() == daemon.children()["broker"].pid


def test_a_start_waits_for_the_children_of_a_dead_owner_and_then_takes_over(daemon: Daemon) -> None:
    daemon.workers = 0
    daemon.state_dir.mkdir()
    holder = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            "import os,sys,time,subprocess\n"
            "from supervisor.arbiter import lock\n"
            "fd = lock.acquire(sys.argv[1])\n"
            "subprocess.Popen(['sleep', '1'], pass_fds=[fd])\n"
            "print('held', flush=True)\n"
            "time.sleep(100)",
            str(daemon.state_dir / "lock"),
        ],
        env=daemon.environment(),
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    holder.kill()
    holder.wait()
    holder.stdout.close()
    daemon.start()
    assert (daemon.state_dir / "lock").read_text().startswith(f"{daemon.pid} ")


def test_what_an_earlier_supervisor_left_is_killed_before_the_first_fork(daemon: Daemon) -> None:
    daemon.start()
    assert daemon.stop() == 0
    instance = (daemon.state_dir / "instance").read_text().strip()
    marked, other = (
        subprocess.Popen(["sleep", "100"], env={"WORKER_SUPERVISOR_MARK": mark}) for mark in (instance, "another")
    )
    try:
        daemon.start()
        assert marked.wait(5) == -9
        assert other.poll() is None
        assert "killed 1 processes that an earlier supervisor had left" in daemon.log.read_text()
    finally:
        for process in (marked, other):
            process.kill()
            process.wait()


def test_a_killed_worker_is_reported_with_its_last_lease_and_replaced(daemon: Daemon) -> None:
    daemon.start()
    fleet = eventually(lambda: [one for one in daemon.heard("fleet") if all(m["pid"] for m in one["members"])])[-1]
    victim = daemon.children()["worker scripts/1"]
    victim.kill()
    exited = eventually(lambda: daemon.heard("exited"))[0]
    assert exited["incarnation"] == next(m["incarnation"] for m in fleet["members"] if m["pid"] == victim.pid)
    assert (exited["worker"], exited["started"], exited["tree_gone"]) == ("scripts/1", 42, True)
    assert exited["cause"].startswith("ended by SIGKILL")
    eventually(lambda: daemon.living_workers().get("worker scripts/1", victim).pid != victim.pid)
    new = eventually(
        lambda: [one for one in daemon.heard("fleet") if not one["exiting"] and one["members"][0]["restarts"] == 1]
    )[-1]
    assert new["members"][0]["incarnation"] != exited["incarnation"]


def test_a_dead_workers_incarnation_is_named_as_exiting_until_its_exit_is_durable(daemon: Daemon) -> None:
    daemon.tell("broker.never-acks")
    daemon.start()
    daemon.children()["worker scripts/1"].kill()
    dead = eventually(lambda: daemon.heard("exited"))[0]["incarnation"]
    eventually(lambda: daemon.heard("fleet")[-1]["members"][0]["restarts"] == 1)
    after = [one for one in daemon.heard("fleet") if dead not in [m["incarnation"] for m in one["members"]]]
    assert after[-1]["exiting"] == [dead]


def test_five_deaths_in_a_row_park_the_worker_and_leave_the_others_alone(daemon: Daemon) -> None:
    daemon.tell("scripts-1.does", "speak")
    daemon.start(ready=False, DUMMY_CONSTANTS="supervisor.core.fleet.WORKER_DELAY_CAP_S=0.3")

    def parked() -> bool:
        fleet = daemon.heard("fleet")
        return bool(fleet) and fleet[-1]["members"][0]["state"] == "parked"

    eventually(parked, within_s=15)
    member = daemon.heard("fleet")[-1]["members"][0]
    assert member["restarts"] == 4
    assert "the broker has no lease for me" in member["note"]
    assert [exited["cause"] for exited in daemon.heard("exited")] == [
        "exited with code 75: the broker has no lease for me"
    ] * 5
    assert daemon.heard("fleet")[-1]["members"][1]["restarts"] == 0
    assert daemon.stop() == 0


def test_a_defect_of_a_worker_is_in_its_last_words_and_its_traceback_in_the_log(daemon: Daemon) -> None:
    daemon.tell("scripts-1.does", "defect")
    daemon.start(ready=False)
    assert eventually(lambda: daemon.heard("exited"))[0]["cause"].endswith("ZeroDivisionError: a defect")
    eventually(lambda: 'raise ZeroDivisionError("a defect")' in daemon.log.read_text())


def test_a_worker_that_exits_0_is_replaced_without_ever_being_parked_or_spinning(daemon: Daemon) -> None:
    daemon.tell("scripts-1.does", "die 0")
    daemon.start(ready=False)
    eventually(lambda: len(daemon.heard("exited")) >= 8)
    assert {fleet["members"][0]["state"] for fleet in daemon.heard("fleet")} == {"starting", "backoff"}


@pytest.mark.parametrize("kind", ["orphan", "bomb"])
def test_what_a_killed_worker_left_in_its_own_session_is_killed_before_the_exit_is_told(
    daemon: Daemon, kind: str
) -> None:
    daemon.tell("scripts-2.does", kind)
    daemon.start()
    orphan = Process(int(eventually(lambda: daemon.read("scripts-2.orphan"))))
    daemon.tell("scripts-2.does", "")
    eventually(lambda: not orphan.alive or daemon.living_workers()["worker scripts/2"].kill() is None)
    exited = eventually(lambda: daemon.heard("exited"))[0]
    assert exited["tree_gone"] is True
    assert not orphan.alive
    eventually(lambda: len(daemon.living_workers()) == 2 and len(daemon.children()) == 3)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a namespace and walk into it")
def test_an_orphan_that_cannot_be_killed_is_told_after_a_while_and_parks_its_slot_alone(daemon: Daemon) -> None:
    daemon.tell("scripts-1.does", "namespace")
    short = ("orphans.UNKILLABLE_AFTER_S=0.7", "aftermath.UNKILLABLE_AFTER_S=0.7", "aftermath._LAG_S=0.1")
    daemon.start(DUMMY_CONSTANTS=" ".join(f"supervisor.arbiter.{constant}" for constant in short))
    orphan = int(daemon.read("scripts-1.orphan"))
    first = int(eventually(Path(f"/proc/{orphan}/task/{orphan}/children").read_text))
    # The first process of a namespace stays for as long as somebody outside does not reap one that he put inside.
    program = "import subprocess,time; kept = subprocess.Popen(['sleep','100']); time.sleep(100)"
    careless = subprocess.Popen(["nsenter", f"--pid=/proc/{first}/ns/pid", "--no-fork", sys.executable, "-c", program])
    try:
        eventually(Path(f"/proc/{careless.pid}/task/{careless.pid}/children").read_text)
        daemon.children()["worker scripts/1"].kill()
        assert eventually(lambda: daemon.heard("exited"))[0]["tree_gone"] is False
        eventually(lambda: daemon.heard("fleet")[-1]["members"][0]["state"] == "parked")
        assert "cannot be killed" in daemon.heard("fleet")[-1]["members"][0]["note"]
        daemon.children()["worker scripts/2"].kill()
        eventually(lambda: len(daemon.heard("exited")) == 2 and len(daemon.living_workers()) == 1)
        # Nor does it hold up those who are to be replaced.
        second = daemon.children()["worker scripts/2"]
        assert daemon.does("restart")["data"] == {"workers": ["scripts/2"]}
        eventually(lambda: not second.alive)
        eventually(lambda: daemon.living_workers() and not any(one["renewal"] for one in daemon.members().values()))
    finally:
        careless.kill()
        careless.wait()
    eventually(lambda: set(daemon.children()) == {"broker", "worker scripts/2"})
    assert daemon.stop() == 0


def test_exits_are_repeated_to_each_new_broker_until_one_acknowledges(daemon: Daemon) -> None:
    daemon.tell("broker.never-acks")
    daemon.start()
    daemon.children()["worker scripts/1"].kill()
    eventually(lambda: len(daemon.heard("exited")) == 1)
    for told in (2, 3):
        if told == 3:
            os.unlink(daemon.folder / "broker.never-acks")
        daemon.children()["broker"].kill()
        eventually(lambda told=told: len(daemon.heard("exited")) == told)
    exits = daemon.heard("exited")
    assert len({exited["incarnation"] for exited in exits}) == 1
    assert len({exited["broker"] for exited in exits}) == 3
    for exited in exits[1:]:
        first = next(fleet for fleet in daemon.heard("fleet") if fleet["broker"] == exited["broker"])
        assert first["exiting"] == [exited["incarnation"]]
    daemon.children()["broker"].kill()
    eventually(lambda: daemon.heard("fleet")[-1]["broker"] != exits[-1]["broker"])
    assert daemon.ask() and len(daemon.heard("exited")) == 3


def test_twenty_killed_brokers_leave_the_workers_untouched_and_every_client_is_answered(daemon: Daemon) -> None:
    daemon.start(DUMMY_CONSTANTS="supervisor.arbiter.broker._READY_LIFE_S=0")
    workers = {title: process.pid for title, process in daemon.living_workers().items()}
    answered = set()
    for _ in range(20):
        pid = daemon.ask()
        answered.add(pid)
        Process(pid).kill()
    assert daemon.ask() not in answered
    assert len(answered) == 20
    assert {title: process.pid for title, process in daemon.living_workers().items()} == workers


def test_brokers_that_die_as_soon_as_they_are_ready_are_given_up_like_those_that_never_were(daemon: Daemon) -> None:
    daemon.start()
    for _ in range(5):
        Process(daemon.ask()).kill()
    assert daemon.wait() == 75
    assert "the broker ended by SIGKILL, perhaps for want of memory; giving up" in daemon.log.read_text()


def test_forks_that_the_kernel_refuses_are_tried_again_and_park_nobody(daemon: Daemon) -> None:
    daemon.start(DUMMY_FORKS_REFUSED="3")
    assert "worker scripts/1 cannot be forked: Resource temporarily unavailable" in daemon.log.read_text()
    assert daemon.ask()


def test_a_broker_that_talks_nonsense_is_replaced(daemon: Daemon) -> None:
    daemon.tell("broker.nonsense")
    daemon.start(ready=False)
    eventually(lambda: len(daemon.read("broker.starts").splitlines()) == 2)
    eventually(lambda: "makes no sense" in daemon.log.read_text())
    assert daemon.ask() == int(daemon.read("broker.starts").splitlines()[1])


def test_a_broker_that_stops_reading_costs_a_bounded_buffer_and_never_blocks_the_arbiter(daemon: Daemon) -> None:
    daemon.tell("broker.deaf")
    daemon.tell("scripts-1.does", "die 0")
    daemon.start(ready=False)
    starts = daemon.folder / "scripts-1.fds"
    eventually(starts.exists)
    for _ in range(5):
        starts.unlink()
        eventually(starts.exists)
    os.unlink(daemon.folder / "broker.deaf")
    eventually(lambda: len(daemon.heard("exited")) >= 5)


def test_a_newer_database_ends_the_daemon_at_once_with_the_brokers_words(daemon: Daemon) -> None:
    daemon.tell("broker.schema")
    daemon.start(ready=False)
    assert daemon.wait() == 78
    assert "the broker exited with code 78: the database is from the future" in daemon.log.read_text()
    assert len(daemon.read("broker.starts").splitlines()) == 1
    assert not daemon.socket.exists()


@pytest.mark.parametrize("how", ["storage", "never-ready"])
def test_five_brokers_that_never_became_ready_end_the_daemon_with_75(daemon: Daemon, how: str) -> None:
    daemon.tell(f"broker.{how}")
    daemon.start(ready=False)
    workers = eventually(lambda: daemon.living_workers().values())
    assert daemon.wait() == 75
    assert len(daemon.read("broker.starts").splitlines()) == 5
    assert not any(worker.alive for worker in workers)
    if how == "storage":
        assert "the disk is on fire" in daemon.log.read_text()
