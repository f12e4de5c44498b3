"""A disk that becomes read-only under a running daemon, and one whose writes fail: a clear end, nothing claimed falsely."""

from __future__ import annotations

import json
import os
import pathlib
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.test_clients import Raw
from tests.harness import Daemon, wait_until

PLAIN = '[pools.scripts]\nisolation = "plain"\n'


def _command(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this machine does not let us make a disk of our own: {' '.join(words)}: {done.stderr.strip()}")


class Ext4:
    """A small disk of our own. `abort` makes the kernel treat it as broken: read-only at once, open files too."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.image, self.path = folder / "image", folder / "disk"
        self.path.mkdir()
        os.truncate(os.open(self.image, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600), 64 << 20)
        _command("mkfs.ext4", "-q", "-F", str(self.image))

    def mount(self) -> None:
        _command("mount", "-o", "loop,errors=remount-ro", str(self.image), str(self.path))

    def abort(self) -> None:
        subprocess.run(["mount", "-o", "remount,abort", str(self.path)], check=True)

    def repair(self) -> None:
        subprocess.run(["umount", str(self.path)], check=True)
        assert subprocess.run(["e2fsck", "-fy", str(self.image)], capture_output=True, check=False).returncode < 4


@pytest.fixture
def disk(tmp_path: pathlib.Path) -> Iterator[Ext4]:
    if os.geteuid() != 0:
        pytest.skip("mounting a disk needs root")
    if not (shutil.which("mkfs.ext4") and shutil.which("e2fsck")):
        pytest.skip("e2fsprogs are not installed")
    disk = Ext4(tmp_path)
    disk.mount()
    yield disk
    subprocess.run(["umount", "-l", str(disk.path)], check=False)


def answer_if_any(daemon: Daemon, **request: object) -> dict | None:
    try:
        return Raw(daemon).send(json.dumps(request).encode() + b"\n").line()
    except OSError:
        return None


def test_read_only_disk_ends_the_daemon_with_clear_words_and_it_goes_on_once_the_disk_is_repaired(
    disk: Ext4, make_daemon: Callable[..., Daemon]
) -> None:
    daemon = make_daemon(settings=PLAIN)
    daemon.state = disk.path / "state"
    daemon.start()
    assert daemon.process is not None
    script = daemon.folder / "x.sh"
    script.write_text("[ $JOB_ATTEMPT = 1 ] && sleep 600; exit 0")
    with daemon.client() as client:
        running = client.submit(str(script)).id
        wait_until(lambda: client.show(running).state == "running", saying="the job's start")
    disk.abort()
    refused = answer_if_any(daemon, op="submit", id=1, request_id="never-stored", source="exit 0", type="shell")
    # Where another write failed first, the broker was gone before it could answer: as unknown to the client.
    assert refused is None or refused["code"] == "outcome_unknown", refused
    assert refused is None or "the disk fails or has become read-only" in refused["message"]
    # Each new broker looks whether it can write before it says that it is ready: five tries, then a clear end.
    assert daemon.process.wait(30) == 75
    assert daemon.words().count("ready on") == 1
    assert "the disk has become read-only" in daemon.words().splitlines()[-1]
    wait_until(lambda: not daemon.survivors(), saying="the end of all")
    daemon.start(wait=False)
    assert daemon.process.wait(30) == 75
    assert "Read-only file system; free or repair the disk, and start again" in daemon.words().splitlines()[-1]
    disk.repair()
    disk.mount()
    daemon.start()
    with daemon.client() as client:
        ended = client.wait(running, timeout=30)
        assert [attempt["reason"] for attempt in ended.raw["attempts"]] == ["host_lost", "ok"]
        assert len(client.list()) == 1, "the outcome that was unknown: it was not done"
    assert daemon.stop() == 0
    assert_sound(daemon)


def test_failing_writes_are_no_failure_of_a_job_and_acknowledge_nothing_twice(
    make_daemon: Callable[..., Daemon],
) -> None:
    """The broker's writes fail by a limit that only it has; the next broker has none."""
    daemon = make_daemon(settings=PLAIN).start()
    script = daemon.folder / "x.sh"
    script.write_text("sleep 1; exit 5")
    with daemon.client() as client:
        jobs = [client.submit(str(script)).id]
        wait_until(lambda: client.show(jobs[0]).state == "running", saying="the job's start")
        for number in range(3):
            limit_writes(daemon.pid_of(": broker"))
            request = {"op": "submit", "id": 1, "request_id": f"request-{number}", "source": "exit 0", "type": "shell"}
            raw = Raw(daemon)
            unknown = raw.send(json.dumps(request).encode() + b"\n").line()
            # Where another write failed first, the broker was gone before it could answer: as unknown to the client.
            assert unknown is None or unknown["code"] == "outcome_unknown", unknown
            raw.close()
            wait_until(lambda number=number: daemon.words().count("ready on") == number + 2, saying="a new broker")
            raw = Raw(daemon)
            jobs.append(raw.ask(**request)["value"]["job"])
            assert raw.ask(**request)["value"] | {"job": jobs[-1], "created": False} == raw.ask(**request)["value"]
            raw.close()
        ended = [client.wait(job, timeout=30) for job in jobs]
        assert [job.raw["attempt"] for job in ended] == [1] * len(jobs)
        assert [job.reason for job in ended] == ["exit", "ok", "ok", "ok"]
        assert len(client.list()) == len(jobs)
    assert daemon.stop() == 0
    assert_sound(daemon)


def limit_writes(pid: int) -> None:
    """From now on no write of `pid` beyond a file's first page succeeds."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, hard))


def assert_sound(daemon: Daemon) -> None:
    database = sqlite3.connect(f"file:{daemon.state}/queue.db?mode=ro", uri=True)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()
