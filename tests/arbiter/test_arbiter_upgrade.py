"""The arbiter becomes another program in place: nobody dies of it, nobody is forgotten, nothing leaks through."""

from __future__ import annotations

import itertools
import signal
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from arbiter_harness import Daemon, Process, daemon_in, eventually

_requests = itertools.count(1)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with daemon_in(tmp_path) as one:
        yield one


def upgrade(daemon: Daemon, python: str = "") -> dict[str, Any]:
    """Asks for it; what became of it."""
    return answer_to(daemon, ask(daemon, python))


def ask(daemon: Daemon, python: str = "") -> int:
    request = next(_requests)
    eventually(lambda: daemon.ask(f"upgrade {request} {python}\n".encode()), within_s=20)
    return request


def answer_to(daemon: Daemon, request: int) -> dict[str, Any]:
    return eventually(lambda: [one for one in daemon.heard("done") if one["request"] == request], within_s=20)[0]


def fleet(daemon: Daemon) -> dict[str, Any]:
    return daemon.heard("fleet")[-1]


def script(daemon: Daemon, text: str) -> str:
    path = daemon.folder / "preflight"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return str(path)


def test_workers_live_through_it_and_only_the_broker_is_replaced_while_they_are_busy(daemon: Daemon) -> None:
    for number in (1, 2):
        daemon.tell(f"scripts-{number}.does", "busy")
    daemon.start()
    arbiter, before = Process(daemon.pid), daemon.living_workers()
    broker, supervisor = daemon.children()["broker"], fleet(daemon)["supervisor"]
    done = upgrade(daemon)
    assert done["ok"]
    assert done["data"]["version"]
    eventually(lambda: not broker.alive)
    eventually(lambda: daemon.ask() != broker.pid)
    eventually(lambda: fleet(daemon)["broker"] != broker.pid and fleet(daemon)["upgrading"]["broker_left"] is False)
    assert arbiter.alive
    now = daemon.living_workers()
    assert {title: process.pid for title, process in now.items()} == {
        title: process.pid for title, process in before.items()
    }
    assert all(process.alive and process.parent == daemon.pid for process in before.values())
    seen = fleet(daemon)
    assert seen["supervisor"] == supervisor
    assert seen["upgrades"] == 1
    assert seen["upgrading"]["workers_left"] == 2
    assert {member["incarnation"] for member in seen["members"]} == {f"{supervisor}-1", f"{supervisor}-2"}
    assert not daemon.zombies()


def test_workers_are_replaced_one_after_the_other_and_then_it_is_over(daemon: Daemon) -> None:
    daemon.workers = 3
    daemon.start()
    before = daemon.living_workers()
    assert upgrade(daemon)["ok"]
    eventually(lambda: not any(process.alive for process in before.values()))
    eventually(lambda: len(daemon.living_workers()) == 3)
    eventually(lambda: fleet(daemon)["upgrading"] is None)
    for message in daemon.heard("fleet"):
        assert sum(member["state"] != "starting" for member in message["members"]) <= 1
    assert len(daemon.heard("exited")) == 3
    assert all(one["tree_gone"] and one["how"] == "left" for one in daemon.heard("exited"))
    assert daemon.stop() == 0


def test_what_happens_during_the_exec_is_seen_after_it(daemon: Daemon) -> None:
    for number in (1, 2):
        daemon.tell(f"scripts-{number}.does", "busy")
    daemon.start()
    daemon.tell("broker.dawdles")
    ask(daemon)
    eventually((daemon.folder / "arbiter.fds").exists)
    victim = daemon.living_workers()["worker scripts/1"]
    victim.kill()
    daemon.signal(signal.SIGTERM)
    daemon.signal(signal.SIGHUP)
    (daemon.folder / "broker.dawdles").unlink()
    assert eventually(lambda: [one for one in daemon.heard("exited") if "SIGKILL" in one["cause"]])
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    assert "stopping (SIGTERM)" in daemon.log.read_text()
    assert not daemon.socket.exists()


def test_only_what_the_handover_names_crosses_the_exec(daemon: Daemon) -> None:
    daemon.start()
    for _ in range(3):
        (daemon.folder / "arbiter.fds").unlink(missing_ok=True)
        assert upgrade(daemon)["ok"]
        targets = sorted(line.split(" ", 1)[1] for line in daemon.read("arbiter.fds").splitlines())
        named = [target for target in targets if "memfd:worker-supervisor" in target]
        assert len(named) == 2, targets
        assert sum("pidfd" in target for target in targets) == 3, targets
        assert sum(target == str(daemon.state_dir / "lock") for target in targets) == 1, targets
        assert sum(target.startswith("socket:") for target in targets) == 2, targets
        # Besides those: the three standard ones.
        assert len([line for line in daemon.read("arbiter.fds").splitlines() if int(line.split()[0]) > 2]) == 8
        eventually(lambda: fleet(daemon)["upgrading"] is None)
        eventually(lambda: len(daemon.living_workers()) == 2)
    born_after = daemon.read("scripts-1.fds")
    assert "memfd" not in born_after
    assert "pidfd" not in born_after


def test_code_that_is_not_fit_changes_nothing_and_the_answer_has_its_last_words(daemon: Daemon) -> None:
    broken = script(daemon, "echo first; echo 'ModuleNotFoundError: no module named colour' >&2; exit 3")
    daemon.start(DUMMY_PREFLIGHT=broken)
    before = daemon.living_workers()
    done = upgrade(daemon)
    assert (done["ok"], done["code"]) == (False, "preflight_failed")
    assert "exited with code 3" in done["message"]
    assert "ModuleNotFoundError: no module named colour" in done["message"]
    assert done["data"]["output"].startswith("first\n")
    assert all(process.alive for process in before.values())
    assert (fleet(daemon)["upgrades"], fleet(daemon)["upgrading"]) == (0, None)
    assert not daemon.zombies()
    assert daemon.ask()


def test_a_check_that_says_too_much_or_hangs_is_bounded(daemon: Daemon) -> None:
    loud = script(daemon, "yes talks | head -c 1000000; exec sleep 100")
    daemon.start(DUMMY_PREFLIGHT=loud, DUMMY_CONSTANTS="supervisor.arbiter.upgrade.PREFLIGHT_S=1.0")
    first = ask(daemon)
    again = upgrade(daemon)
    assert (again["code"], "under way already" in again["message"]) == ("wrong_state", True)
    done = answer_to(daemon, first)
    assert done["code"] == "preflight_failed"
    assert "not done after 1 s" in done["message"]
    assert len(done["data"]["output"]) < 5000
    eventually(lambda: set(daemon.children()) == {"broker", "worker scripts/1", "worker scripts/2"})


def test_a_python_that_is_not_there_is_an_answer_and_no_more(daemon: Daemon) -> None:
    daemon.start(DUMMY_PREFLIGHT="/nowhere/python -m supervisor")
    done = upgrade(daemon)
    assert done["code"] == "preflight_failed"
    assert "/nowhere/python cannot be executed: No such file or directory" in done["message"]


def test_an_exec_that_fails_after_a_good_check_leaves_everything_as_it_was(daemon: Daemon) -> None:
    daemon.start()
    done = upgrade(daemon, "/nowhere/python")
    assert (done["ok"], done["code"]) == (False, "preflight_failed")
    assert "nothing was changed" in done["message"]
    assert fleet(daemon)["upgrades"] == 0
    # Signals are heard again, and nothing that was to cross the exec is left open to children.
    victim = daemon.living_workers()["worker scripts/2"]
    (daemon.folder / "scripts-2.fds").unlink()
    victim.kill()
    fds = eventually(lambda: daemon.read("scripts-2.fds"))
    assert "memfd" not in fds
    assert "pidfd" not in fds
    assert upgrade(daemon)["ok"]
    assert daemon.stop() == 0


def test_a_broker_that_has_hung_up_is_waited_for_because_it_may_still_have_the_database(daemon: Daemon) -> None:
    check = script(daemon, f"touch {daemon.folder}/broker.hangs-up; sleep 0.5")
    daemon.start(DUMMY_PREFLIGHT=check)
    first = daemon.children()["broker"]
    ask(daemon)
    eventually(lambda: fleet(daemon)["upgrades"] == 1, within_s=20)
    assert not first.alive
    assert "the broker exited with code 1;" in daemon.log.read_text()


def test_the_daemon_that_is_stopping_refuses(daemon: Daemon) -> None:
    for number in (1, 2):
        daemon.tell(f"scripts-{number}.does", "busy")
    daemon.start()
    daemon.signal(signal.SIGTERM)
    eventually(lambda: daemon.heard("drain"))
    assert upgrade(daemon)["code"] == "stopping"


def test_deaths_and_parked_slots_are_remembered_and_the_new_code_gets_a_chance(daemon: Daemon) -> None:
    daemon.tell("scripts-1.does", "die 9")
    daemon.start(ready=False, DUMMY_CONSTANTS="supervisor.core.fleet.WORKER_DELAY_CAP_S=0.05")
    eventually(lambda: [one for one in daemon.heard("fleet")[-1:] if one["members"][0]["state"] == "parked"])
    restarts = fleet(daemon)["members"][0]["restarts"]
    daemon.tell("scripts-1.does", "")
    assert upgrade(daemon)["ok"]
    eventually(lambda: len(daemon.living_workers()) == 2)
    assert fleet(daemon)["members"][0]["restarts"] > restarts


def test_an_exit_that_no_broker_has_made_durable_is_told_to_the_next(daemon: Daemon) -> None:
    daemon.tell("broker.never-acks")
    daemon.start()
    daemon.living_workers()["worker scripts/1"].kill()
    first = eventually(lambda: daemon.heard("exited"))[0]
    assert upgrade(daemon)["ok"]
    eventually(lambda: len({one["broker"] for one in daemon.heard("exited")}) == 2)
    assert {one["incarnation"] for one in daemon.heard("exited")} >= {first["incarnation"]}
    (daemon.folder / "broker.never-acks").unlink()


def words_of(pid: str) -> bytes:
    """The command line of a process; a zombie has none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_strangers_stay_strangers_and_orphans_are_still_ended(daemon: Daemon) -> None:
    daemon.tell("scripts-1.does", "orphan-marked")
    daemon.start(prefix=("/bin/sh", "-c", 'sleep 100 & echo $! > "$DUMMY_FOLDER/stranger"; exec "$@"', "sh"))
    stranger = Process(int(daemon.read("stranger")))
    try:
        orphan = eventually(lambda: daemon.read("scripts-1.orphan"))
        daemon.tell("scripts-1.does", "")
        assert upgrade(daemon)["ok"]
        # Its worker is replaced: what it leaves behind is not. It may have been swept sooner.
        eventually(lambda: not words_of(orphan))
        eventually(lambda: fleet(daemon)["upgrading"] is None)
        assert stranger.alive
        assert stranger.parent == daemon.pid
    finally:
        stranger.kill()


def test_it_becomes_another_program_every_fifth_of_a_second_under_load(daemon: Daemon) -> None:
    """Clients ask without a pause and workers are killed meanwhile: all are served, all deaths are told once durable."""
    daemon.workers = 4
    for number in range(1, 5):
        daemon.tell(f"scripts-{number}.does", "busy")
    daemon.start()
    arbiter, supervisor = Process(daemon.pid), fleet(daemon)["supervisor"]
    asked, killed, over = [0], [0], threading.Event()

    def ask_on() -> None:
        while not over.is_set():
            try:
                daemon.ask()
            except ConnectionResetError:
                continue  # a broker that closed while we spoke: a real client repeats
            except ValueError:
                continue
            asked[0] += 1

    client = threading.Thread(target=ask_on)
    client.start()
    answers = []
    try:
        began = time.monotonic()
        for round_ in range(20):
            answers.append(upgrade(daemon))
            if round_ % 3 == 0:
                for title, process in daemon.living_workers().items():
                    if title.endswith(str(round_ % 4 + 1)):
                        process.kill()
                        killed[0] += 1
            time.sleep(max(0.0, began + (round_ + 1) * 0.2 - time.monotonic()))
    finally:
        over.set()
        client.join()
    assert all(answer["ok"] for answer in answers)
    assert arbiter.alive
    assert asked[0] > 20
    eventually(lambda: fleet(daemon)["upgrades"] == 20 and len(daemon.living_workers()) == 4)
    eventually(lambda: not daemon.zombies())
    assert set(daemon.children()) == {"broker", *(f"worker scripts/{number}" for number in range(1, 5))}
    assert fleet(daemon)["supervisor"] == supervisor
    causes = {one["incarnation"]: one["cause"] for one in daemon.heard("exited")}
    assert sum("SIGKILL" in cause for cause in causes.values()) == killed[0]
    alive = {member["incarnation"] for member in fleet(daemon)["members"]}
    assert not alive & set(causes)
    born = {f"{supervisor}-{number}" for number in range(1, len(alive) + len(causes) + 1)}
    assert born == alive | set(causes)
    assert f"pid {daemon.pid} holds" in daemon.refused().stderr
    daemon.signal(signal.SIGTERM)
    eventually(lambda: daemon.heard("drain"))
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
