"""What a service manager hears: through a real datagram socket, by path and by abstract name."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from arbiter_harness import Daemon, daemon_in, eventually


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with daemon_in(tmp_path) as one:
        yield one


class Manager:
    """Keeps all that it was told."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._listener.setblocking(False)
        self._heard: list[str] = []

    def heard(self) -> list[str]:
        try:
            while True:
                self._heard.append(self._listener.recv(4096).decode())
        except BlockingIOError:
            return self._heard


@contextmanager
def manager_at(address: str) -> Iterator[Manager]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + address[1:] if address.startswith("@") else address)
        yield Manager(listener)


@pytest.mark.parametrize("abstract", [False, True])
def test_readiness_status_reload_and_stop_are_told_in_their_order(
    daemon: Daemon, tmp_path: Path, abstract: bool
) -> None:
    address = f"@worker-supervisor-test-{os.getpid()}" if abstract else str(tmp_path / "n")
    with manager_at(address) as manager:
        daemon.start(NOTIFY_SOCKET=address)
        eventually(lambda: manager.heard()[:2] == ["READY=1", "STATUS=running: 1 running, 2 queued, 3 scheduled"])
        daemon.signal(signal.SIGHUP)
        eventually(lambda: len(manager.heard()) == 4)
        assert manager.heard()[2].startswith("RELOADING=1\nMONOTONIC_USEC=") and manager.heard()[3] == "READY=1"
        assert daemon.stop() == 0
        assert manager.heard()[4:] == ["STOPPING=1"]


def test_no_child_may_speak_to_the_manager(daemon: Daemon, tmp_path: Path) -> None:
    with manager_at(str(tmp_path / "n")):
        daemon.start(NOTIFY_SOCKET=str(tmp_path / "n"), WATCHDOG_USEC="600000")
        assert "HOME=" in daemon.read("scripts-1.env")
        assert "NOTIFY" not in daemon.read("scripts-1.env") and "WATCHDOG" not in daemon.read("scripts-1.env")


def test_the_watchdog_is_fed_only_while_the_broker_proves_its_database(daemon: Daemon, tmp_path: Path) -> None:
    with manager_at(str(tmp_path / "n")) as manager:
        daemon.start(NOTIFY_SOCKET=str(tmp_path / "n"), WATCHDOG_USEC="600000")
        eventually(lambda: manager.heard().count("WATCHDOG=1") >= 3)
        daemon.tell("broker.deadlocked")
        asked = len(daemon.heard("ping"))
        eventually(lambda: len(daemon.heard("ping")) > asked)
        fed, asked = manager.heard().count("WATCHDOG=1"), len(daemon.heard("ping"))
        eventually(lambda: len(daemon.heard("ping")) > asked + 3)
        assert manager.heard().count("WATCHDOG=1") == fed
        (daemon.folder / "broker.deadlocked").unlink()
        eventually(lambda: manager.heard().count("WATCHDOG=1") > fed)


def test_a_watchdog_that_is_meant_for_another_process_is_not_fed(daemon: Daemon, tmp_path: Path) -> None:
    with manager_at(str(tmp_path / "n")) as manager:
        daemon.start(NOTIFY_SOCKET=str(tmp_path / "n"), WATCHDOG_USEC="60000", WATCHDOG_PID="1")
        eventually(lambda: "READY=1" in manager.heard())
        daemon.does("hold", on=True)
        assert "WATCHDOG=1" not in manager.heard()


def test_a_manager_that_has_gone_costs_nothing(daemon: Daemon, tmp_path: Path) -> None:
    daemon.start(NOTIFY_SOCKET=str(tmp_path / "nobody"), WATCHDOG_USEC="60000")
    assert daemon.does("hold", on=True)["ok"]
    assert daemon.stop() == 0
