"""A full disk: no false acknowledgement, and what runs is still recorded."""

from __future__ import annotations

import os
import pathlib
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.harness import Daemon, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m,mode=0700", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_submits_are_refused_outcomes_recorded_and_space_heals(
    small_disk: pathlib.Path, make_daemon: Callable[..., Daemon]
) -> None:
    daemon = make_daemon()
    daemon.state = small_disk / "state"
    daemon.start()
    script = daemon.folder / "x.js"
    script.write_text("setTimeout(() => process.exit(5), 2500)")
    running = daemon.ctl("-q", "submit", str(script)).stdout.decode().strip()
    wait_until(lambda: daemon.ask("show", running)["state"] == "running", saying="the job's start")
    ballast = small_disk / "ballast"
    fill(ballast)
    refused = daemon.ctl("submit", str(script))
    for _ in range(200):
        if refused.returncode:
            break
        refused = daemon.ctl("submit", str(script))
    assert refused.returncode == 7, refused
    assert "disk is full" in refused.stderr.decode()
    daemon.ctl("wait", running, "--timeout", "20s")
    assert daemon.ask("show", running)["reason"] == "exit"
    ballast.unlink()
    acknowledged = daemon.ask("status")["jobs"]
    assert daemon.ctl("run", str(script)).returncode == 5
    assert sum(daemon.ask("status")["jobs"].values()) == sum(acknowledged.values()) + 1


def fill(ballast: pathlib.Path) -> None:
    with open(ballast, "wb", buffering=0) as file:
        for size in (1 << 20, 4096, 512):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
