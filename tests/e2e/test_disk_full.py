"""A full disk: no false acknowledgement, what runs is still recorded, and space heals. Again and again."""

from __future__ import annotations

import os
import pathlib
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator

import pytest

from ctl import Client
from ctl.errors import WorkerctlError
from supervisor.broker.reserve import RESERVE_BYTES
from tests.harness import Daemon, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
CYCLES = 4
PLAIN = '[pools.scripts]\nisolation = "plain"\n'
WAITER = 'until [ -e "$1" ]; do sleep 0.05; done; exit 5'


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=0700", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.fixture
def signals() -> Iterator[pathlib.Path]:
    """A folder that jobs can look into, whoever they run as."""
    folder = pathlib.Path(f"/var/tmp/workerctl-disk-full-{os.getpid()}")
    folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(folder)


def test_cycles_of_a_full_disk_lose_no_outcome_and_acknowledge_nothing_falsely(
    small_disk: pathlib.Path, signals: pathlib.Path, make_daemon: Callable[..., Daemon]
) -> None:
    daemon = make_daemon(settings=PLAIN)
    daemon.state = small_disk / "state"
    daemon.start()
    waiter, quick, ballast = daemon.folder / "waiter.sh", daemon.folder / "quick.sh", small_disk / "ballast"
    waiter.write_text(WAITER)
    reserve = daemon.state / "reserve"
    acknowledged: list[int] = []
    with daemon.client() as client:
        for cycle in range(CYCLES):
            go = signals / f"go.{cycle}"
            running = [client.submit(str(waiter), args=[str(go)]).id for _ in range(2)]
            quick.write_text("exit 0")
            waiting = client.submit(str(quick)).id
            wait_until(
                lambda both=running: all(client.show(job).state == "running" for job in both), saying="both jobs' start"
            )
            fill(ballast)
            acknowledged += [*running, waiting, *submit_until_refused(client, quick)]
            assert not reserve.exists()
            stored = sum(client.status()["jobs"].values())
            for _ in range(20):  # what the reserve freed is not for these
                with pytest.raises(WorkerctlError, match="disk is full"):
                    client.submit(str(quick))
            assert sum(client.status()["jobs"].values()) == stored == len(acknowledged)
            assert "disk is full" in " ".join(client.health()["reasons"])
            go.touch()
            for job in running:
                ended = client.wait(job, timeout=30)
                assert (ended.state, ended.reason, ended.exit_code) == ("failed", "exit", 5)
            ballast.unlink()
            assert client.wait(waiting, timeout=30).state == "completed"
            acknowledged.append(wait_until(lambda: try_submit(client, quick), saying="room"))
            wait_until(lambda: reserve.exists() and reserve.stat().st_size == RESERVE_BYTES, saying="a new reserve")
        for job in acknowledged:
            assert client.wait(job, timeout=30).raw["attempt"] == 1
        assert sum(client.status()["jobs"].values()) == len(acknowledged)
    assert daemon.stop() == 0
    assert "broker exited" not in daemon.words()
    database = sqlite3.connect(f"file:{small_disk}/state/queue.db?mode=ro", uri=True)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()


def test_a_full_disk_under_the_jobs_folders_is_not_said_to_be_a_limit_of_the_job(
    make_daemon: Callable[..., Daemon],
) -> None:
    daemon = make_daemon(settings=PLAIN + "prestart = 0\n", workers=1).start()
    with daemon.client() as client:
        client.wait(client.submit(source="exit 0", runtime="shell"))
        instance = (daemon.state / "instance").read_text().strip()
        place = f"/var/tmp/worker-supervisor-{instance}/0-plain"
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0711", "tmpfs", place], check=True)
        try:
            fill(pathlib.Path(place, "ballast"))
            job = client.submit(source=f"exit 0 # {'x' * 20_000}", runtime="shell")
            ended = client.wait(job, timeout=30)
        finally:
            subprocess.run(["umount", "-l", place], check=True)
        assert ended.reason == "spawn_error"
        assert "free some space" in ended.message and "--disk" not in ended.message


def submit_until_refused(client: Client, script: pathlib.Path) -> list[int]:
    """The jobs that still found room: each with a text of its own, since equal ones are stored once."""
    stored: list[int] = []
    for number in range(2000):
        script.write_text(f"exit 0 # {random.Random(number).randbytes(20_000).hex()}")
        try:
            stored.append(client.submit(str(script)).id)
        except WorkerctlError as error:
            assert error.code == "storage_full", error
            assert "disk is full" in str(error)
            return stored
    raise AssertionError("a full disk never refused")


def try_submit(client: Client, script: pathlib.Path) -> int | None:
    try:
        return client.submit(str(script)).id
    except WorkerctlError as error:
        assert error.code == "storage_full", error
        return None


def fill(ballast: pathlib.Path) -> None:
    with open(ballast, "wb", buffering=0) as file:
        for size in (1 << 20, 4096, 512):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
