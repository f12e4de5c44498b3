"""A daemon's ordinary day: it starts alone, its children are as they should be, and it ends with nothing left."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from arbiter_harness import Daemon, Process, daemon_in, eventually


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with daemon_in(tmp_path) as one:
        yield one


def test_of_fifty_racing_starts_one_owns_the_folder_and_the_others_name_it(daemon: Daemon) -> None:
    daemon.workers = 0
    starters = [
        subprocess.Popen(daemon.command(), env=daemon.environment(), stderr=subprocess.PIPE, start_new_session=True)
        for _ in range(50)
    ]
    try:
        eventually(lambda: sum(starter.poll() is None for starter in starters) == 1, within_s=60)
        owner = next(starter for starter in starters if starter.poll() is None)
        losers = [starter for starter in starters if starter is not owner]
        assert {loser.returncode for loser in losers} == {3}
        for loser in losers:
            assert loser.stderr is not None
            assert f"pid {owner.pid} holds" in loser.stderr.read().decode()
        eventually(lambda: daemon.socket.exists() and daemon.ask() > 0)
    finally:
        for starter in starters:
            starter.kill()
            starter.wait()
            if starter.stderr is not None:
                starter.stderr.close()


def test_a_second_start_is_refused_with_the_owners_pid_and_changes_nothing(daemon: Daemon) -> None:
    daemon.start()
    second = daemon.refused()
    assert second.returncode == 3
    assert f"pid {daemon.pid} holds" in second.stderr
    assert daemon.ask() == daemon.children()["broker"].pid


def test_another_state_folder_cannot_take_over_a_socket_at_which_somebody_answers(
    daemon: Daemon, tmp_path: Path
) -> None:
    daemon.start()
    (tmp_path / "other").mkdir()
    with daemon_in(tmp_path / "other") as other:
        refused = other.refused(daemon.socket)
    assert refused.returncode == 3
    assert "another daemon answers" in refused.stderr
    assert daemon.ask()


def test_the_socket_is_for_its_owner_alone_and_is_gone_after_the_stop(daemon: Daemon) -> None:
    daemon.start()
    assert stat.S_IMODE(daemon.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(daemon.socket.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(daemon.state_dir.stat().st_mode) == 0o700
    assert daemon.stop() == 0
    assert not daemon.socket.exists()


def test_a_socket_that_somebody_else_put_there_meanwhile_is_not_removed(daemon: Daemon) -> None:
    daemon.start()
    daemon.socket.unlink()
    daemon.socket.write_text("not yours")
    assert daemon.stop() == 0
    assert daemon.socket.read_text() == "not yours"


def test_children_hold_exactly_the_descriptors_of_their_kind(daemon: Daemon) -> None:
    stray, other_end = os.pipe()
    os.set_inheritable(stray, True)
    try:
        daemon.start()
    finally:
        os.close(stray)
        os.close(other_end)

    def held(child: str) -> list[str]:
        targets = [line.split(" ", 1)[1] for line in daemon.read(f"{child}.fds").splitlines()]
        return sorted("socket" if target.startswith("socket:") else target for target in targets)

    lock, log = str(daemon.state_dir / "lock"), str(daemon.log)
    assert held("scripts-1") == held("scripts-2") == sorted(["/dev/null", log, log, lock])
    assert held("broker") == sorted(["/dev/null", log, log, lock, "socket", "socket"])


def test_children_are_titled_lead_their_own_sessions_and_hide_their_memory(daemon: Daemon) -> None:
    daemon.start()
    children = daemon.children()
    assert set(children) == {"broker", "worker scripts/1", "worker scripts/2"}
    assert Path(f"/proc/{daemon.pid}/cmdline").read_bytes().rstrip(b"\0") == b"worker-supervisor: arbiter"
    for child in children.values():
        assert os.getsid(child.pid) == child.pid
        assert os.stat(f"/proc/{child.pid}/environ").st_uid == 0


def test_the_arbiter_has_one_thread_and_no_zombie_after_many_deaths(daemon: Daemon) -> None:
    daemon.start()
    for _ in range(3):
        broker = daemon.children()["broker"]
        broker.kill()
        eventually(lambda broker=broker: daemon.children().get("broker", broker).pid != broker.pid)
    eventually(lambda: not daemon.zombies())
    assert len(os.listdir(f"/proc/{daemon.pid}/task")) == 1


def test_an_idle_arbiter_sleeps(daemon: Daemon) -> None:
    daemon.start()

    def switches() -> int:
        status = Path(f"/proc/{daemon.pid}/status").read_text()
        return int(status.split("voluntary_ctxt_switches:")[1].split()[0])

    eventually(lambda: not daemon.heard("exited") and len(daemon.heard("fleet")) >= 1)
    deadline, before = time.monotonic() + 1.0, switches()
    eventually(lambda: time.monotonic() > deadline)
    assert switches() - before <= 2


def test_a_fork_with_a_second_thread_is_refused_by_name(daemon: Daemon) -> None:
    daemon.start(ready=False, DUMMY_THREAD="1")
    assert daemon.wait() == 1
    assert "a fork needs one thread, here are 2" in daemon.log.read_text()


def test_the_first_message_is_the_fleet_and_incarnations_begin_with_its_supervisor(daemon: Daemon) -> None:
    daemon.start()
    fleet = eventually(lambda: [one for one in daemon.heard("fleet") if all(m["pid"] for m in one["members"])])[-1]
    assert [member["worker"] for member in fleet["members"]] == ["scripts/1", "scripts/2"]
    assert all(member["incarnation"].startswith(fleet["supervisor"] + "-") for member in fleet["members"])
    assert {member["pid"] for member in fleet["members"]} == {p.pid for p in daemon.living_workers().values()}
    assert daemon.read("broker.heard").splitlines()[0].split(" ", 1)[1].startswith('{"say":"fleet"')


def test_user_signals_are_ignored_with_a_line_in_the_log(daemon: Daemon) -> None:
    daemon.start()
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        daemon.signal(number)
        eventually(lambda number=number: f"{number.name} means nothing" in daemon.log.read_text())
    assert daemon.ask()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a namespace and walk into it")
def test_as_pid_1_it_reaps_strangers_and_kills_only_what_carries_its_mark(daemon: Daemon) -> None:
    daemon.tell("scripts-1.does", "orphan-marked")
    daemon.start(prefix=("unshare", "--pid", "--fork", "--mount-proc", "--kill-child"), ready=False)
    eventually(lambda: f"ready socket={daemon.socket} pid=1\n" in daemon.log.read_text())
    daemon.arbiter_pid = int(Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text())
    eventually(lambda: len(daemon.living_workers()) == 2)
    enter = ("nsenter", "--target", str(daemon.arbiter_pid), "--pid", "--mount", "--")
    subprocess.run([*enter, "sh", "-c", "sleep 100 &"], check=True, stdin=subprocess.DEVNULL)
    stranger = eventually(lambda: daemon.children().get("sleep\x00100"))
    daemon.tell("scripts-1.does", "")
    daemon.children()["worker scripts/1"].kill()
    exited = eventually(lambda: daemon.heard("exited"))[0]
    assert exited["tree_gone"] is True
    eventually(lambda: len(daemon.living_workers()) == 2)
    assert set(daemon.children()) == {"broker", "worker scripts/1", "worker scripts/2", "sleep\x00100"}
    stranger.kill()
    eventually(lambda: not daemon.zombies() and "sleep\x00100" not in daemon.children())
    Process(daemon.arbiter_pid).kill()
    daemon.wait()


def test_a_reader_that_goes_away_costs_the_log_and_not_the_daemon(daemon: Daemon) -> None:
    with subprocess.Popen(
        daemon.command(), env=daemon.environment(), stderr=subprocess.PIPE, start_new_session=True
    ) as daemon.process:
        daemon.process.stderr.close()
        eventually(lambda: len(daemon.living_workers()) == 2)
        eventually(daemon.socket.exists)
        assert daemon.ask()
        daemon.children()["worker scripts/1"].kill()
        eventually(lambda: daemon.heard("exited"))
        assert daemon.stop() == 0


def test_children_of_the_shell_that_became_the_daemon_are_reaped_but_never_killed(daemon: Daemon) -> None:
    daemon.start(prefix=("sh", "-c", 'sleep 100 & setsid sh -c "sleep 101 & wait" & sleep 0.1 & exec "$@"', "sh"))
    sleeper = next(process for title, process in daemon.children().items() if title == "sleep\x00100")
    shell = next(process for title, process in daemon.children().items() if title.startswith("sh\x00-c"))
    grandchild = Process(int(Path(f"/proc/{shell.pid}/task/{shell.pid}/children").read_text()))
    try:
        daemon.children()["worker scripts/1"].kill()
        eventually(lambda: daemon.heard("exited"))
        shell.kill()
        eventually(lambda: grandchild.parent == daemon.pid)
        daemon.children()["worker scripts/2"].kill()
        eventually(lambda: len(daemon.heard("exited")) == 2)
        assert sleeper.alive and grandchild.alive
        sleeper.kill()
        eventually(lambda: not daemon.zombies())
    finally:
        for process in (sleeper, grandchild):
            if process.alive:
                process.kill()
