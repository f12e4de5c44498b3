"""A backup is whole or not there, holds what its jobs need, and a daemon that is started on it goes on with them."""

from __future__ import annotations

import hashlib
import os
import pathlib
import sqlite3
import stat
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator

import pytest

from ctl import Client, DaemonFailed, InvalidRequest
from supervisor.broker import archive as archive_module
from supervisor.broker.archive import Archive
from tests.harness import Daemon, running_daemon, wait_until

LARGE = b"# " + b"x" * 300_000 + b"\necho large\n"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running_daemon(tmp_path_factory.mktemp("backup") / "d") as running:
        yield running


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with daemon.client() as connected:
        yield connected


def submit(client: Client, source: str = "true", **options: object) -> int:
    return client.submit(source=source, runtime="shell", **options).id  # type: ignore[arg-type]


def large(client: Client, folder: pathlib.Path, **options: object) -> int:
    (folder / "large.sh").write_bytes(LARGE)
    return client.submit(str(folder / "large.sh"), **options).id  # type: ignore[arg-type]


def unpacked(backup: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """As the documentation says it: into a new folder of mode 0700, with tar."""
    folder.mkdir(0o700)
    subprocess.run(["tar", "-xf", backup, "-C", folder], check=True, stdin=subprocess.DEVNULL)
    return folder


def jobs_in(database: pathlib.Path) -> dict[int, str]:
    copy = sqlite3.connect(f"file:{database}?mode=ro&immutable=1", uri=True)
    try:
        assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return dict(copy.execute("SELECT id, state FROM jobs").fetchall())
    finally:
        copy.close()


def test_the_file_is_for_its_owner_alone_and_holds_database_and_large_contents(
    daemon: Daemon, client: Client, tmp_path: pathlib.Path
) -> None:
    job = large(client, tmp_path)
    client.wait(job, timeout=20)
    file = tmp_path / "b.tar"
    old = os.umask(0)
    try:
        done = daemon.ctl("backup", str(file))
    finally:
        os.umask(old)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(file).encode())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with tarfile.open(file) as tar:
        members = {member.name: (member.mode, member.isdir()) for member in tar.getmembers()}
        kept = tar.extractfile(f"spool/{hashlib.sha256(LARGE).hexdigest()}")
        assert kept is not None
        assert kept.read() == LARGE
    assert members["queue.db"] == (0o600, False)
    assert members["spool"] == (0o700, True)
    state = unpacked(file, tmp_path / "state")
    assert jobs_in(state / "queue.db")[job] == "completed"
    assert [name for name in os.listdir(tmp_path) if "partial" in name] == []
    assert [name for name in os.listdir(daemon.state) if "backup" in name] == []


def test_a_file_that_is_there_is_kept_unless_it_is_to_be_replaced(
    daemon: Daemon, client: Client, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "b.tar"
    file.write_text("mine")
    refused = daemon.ctl("backup", str(file))
    assert (refused.returncode, file.read_text()) == (2, "mine")
    assert b"--force replaces it" in refused.stderr
    assert client.backup(file, force=True) == file.stat().st_size
    with pytest.raises(InvalidRequest, match="is a folder"):
        client.backup(tmp_path)
    with pytest.raises(InvalidRequest, match="No such file"):
        client.backup(tmp_path / "nowhere" / "b.tar")


def test_a_link_is_not_written_through(client: Client, tmp_path: pathlib.Path) -> None:
    target = tmp_path / "target"
    target.write_text("kept")
    link = tmp_path / "link.tar"
    link.symlink_to(target)
    with pytest.raises(InvalidRequest):
        client.backup(link)
    client.backup(link, force=True)
    assert (target.read_text(), link.is_symlink()) == ("kept", False)


def test_a_restored_queue_goes_on_where_the_backup_was_made(
    make_daemon: Callable[..., Daemon], tmp_path: pathlib.Path
) -> None:
    first = make_daemon("first", workers=1).start()
    file = tmp_path / "b.tar"
    with first.client() as client:
        client.pause("held")
        over = large(client, tmp_path)
        assert client.wait(over, timeout=20).ok
        needs_content = large(client, tmp_path, queue="held")
        inline = submit(client, "echo small", queue="held")
        later = submit(client, delay="1h")
        waits = submit(client, after=[inline])
        running = submit(client, "echo here; test $JOB_ATTEMPT = 2 || sleep 60")
        wait_until(lambda: client.logs(running) == b"here\n", saying="its output")
        assert first.ctl("backup", str(file)).returncode == 0
        after = submit(client, delay="1h")
    first.kill()

    second = make_daemon("second", workers=1)
    unpacked(file, second.state)
    second.start()
    with second.client() as client:
        assert client.status()["paused"] == ["held"]
        ended = client.wait(running, timeout=30)
        assert (ended.state, ended.attempt) == ("completed", 2), "it ran when the backup was made: it runs again"
        assert ended.attempts[0].reason == "host_lost"
        client.resume()
        for job in client.wait_each([needs_content, inline, waits], timeout=30):
            assert job.ok, job.raw
        assert client.logs(needs_content) == b"large\n"
        assert client.show(later).state == "scheduled"
        client.retry(over)
        assert client.wait(over, timeout=20).ok, "finished jobs can be queued again, with their content"
        assert submit(client) == after, "what came after the backup is not known, and its number is free"
    assert second.ctl("doctor").returncode in (0, 1)


def test_a_backup_under_load_holds_all_that_was_acknowledged_before_it(
    daemon: Daemon, client: Client, tmp_path: pathlib.Path
) -> None:
    stop, acknowledged = threading.Event(), []

    def load() -> None:
        with daemon.client() as own:
            while not stop.is_set():
                acknowledged.append(submit(own, queue="load"))

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(5):
            before = list(acknowledged)
            client.backup(tmp_path / f"{number}.tar")
            state = unpacked(tmp_path / f"{number}.tar", tmp_path / f"state{number}")
            assert set(before) <= set(jobs_in(state / "queue.db"))
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_client_that_is_killed_leaves_no_file_of_that_name_and_nothing_in_the_state_folder(
    daemon: Daemon, client: Client, tmp_path: pathlib.Path
) -> None:
    target = tmp_path / "full"
    target.mkdir()
    for number in range(4):
        large(client, tmp_path, name=f"{number}")
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED, daemon.socket, str(target / "b.tar")], cwd=pathlib.Path(__file__).parents[2]
    )
    assert killed.wait(30) == -9
    assert not (target / "b.tar").exists()
    assert [name for name in os.listdir(daemon.state) if "backup" in name] == []
    assert client.backup(target / "b.tar") > 0


KILLED = """
import os, sys
from ctl import Client
from ctl import backup
backup._give_name = lambda *_, **__: os.kill(os.getpid(), 9)
Client(sys.argv[1]).backup(sys.argv[2])
"""


def test_a_broker_that_dies_meanwhile_makes_another_copy(
    make_daemon: Callable[..., Daemon], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = make_daemon().start()
    with daemon.client() as client:
        job = large(client, tmp_path)
        client.wait(job, timeout=20)
        asked: list[str] = []
        call = client._session.call

        def kill_after_the_first_piece(op: str, fields: dict, **options: bool) -> object:
            asked.append(op)
            answer = call(op, fields | ({"length": 50_000} if op == "backup_piece" else {}), **options)
            if asked.count("backup_piece") == 2:
                os.kill(daemon.pid_of("broker"), 9)
            return answer

        monkeypatch.setattr(client._session, "call", kill_after_the_first_piece)
        size = client.backup(tmp_path / "b.tar")
    assert size == (tmp_path / "b.tar").stat().st_size
    assert jobs_in(unpacked(tmp_path / "b.tar", tmp_path / "state") / "queue.db") == {job: "completed"}


def test_content_that_a_backup_needs_is_not_removed_while_it_is_fetched(
    daemon: Daemon, client: Client, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = large(client, tmp_path, name="needed")
    client.wait(job, timeout=20)
    others = [one.id for one in client.list(limit=None) if one.state == "completed"]
    spooled = daemon.state / "spool" / hashlib.sha256(LARGE).hexdigest()
    call = client._session.call
    pruned: list[int] = []

    def prune_after_the_first_piece(op: str, fields: dict, **options: bool) -> object:
        answer = call(op, fields | ({"length": 50_000} if op == "backup_piece" else {}), **options)
        if op == "backup_piece" and not pruned:
            os.utime(spooled, (1, 1))
            with daemon.client() as own:
                pruned.extend(own.delete(one) == "completed" for one in others)
        return answer

    monkeypatch.setattr(client._session, "call", prune_after_the_first_piece)
    client.backup(tmp_path / "b.tar")
    state = unpacked(tmp_path / "b.tar", tmp_path / "state")
    assert (state / "spool" / spooled.name).read_bytes() == LARGE
    list(client.prune())
    assert not spooled.exists(), "afterwards it goes"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_a_disk_without_room_refuses_and_goes_on(make_daemon: Callable[..., Daemon], tmp_path: pathlib.Path) -> None:
    daemon = make_daemon()
    daemon.state.mkdir(0o700)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "none", daemon.state], check=False)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        daemon.start()
        with daemon.client() as client:
            with pytest.raises(DaemonFailed, match="needs room") as caught:
                client.backup(tmp_path / "b.tar")
            assert caught.value.code == "storage_full"
            assert not (tmp_path / "b.tar").exists()
            assert client.wait(submit(client), timeout=20).ok
        assert daemon.stop() == 0
    finally:
        daemon.clean()
        subprocess.run(["umount", "-l", daemon.state], check=False)


# The archive itself


def test_an_archive_reads_the_same_in_pieces_of_any_size(tmp_path: pathlib.Path) -> None:
    contents = {"a": b"", "b": b"x" * 511, "c": os.urandom(1500), "d": b"y" * 512}
    made = Archive()
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        source = str(tmp_path / name) if name > "b" else os.open(tmp_path / name, os.O_RDONLY)
        made.add_file(name, source, len(content))
    made.add_folder("f/")
    made.finish()
    whole = made.read(0, made.size)
    assert len(whole) == made.size
    for length in (1, 7, 512, 1000, 10_000):
        assert b"".join(made.read(offset, length) for offset in range(0, made.size, length)) == whole
    made.close()
    (tmp_path / "whole.tar").write_bytes(whole)
    with tarfile.open(tmp_path / "whole.tar") as tar:
        read = {member.name: tar.extractfile(member) for member in tar.getmembers() if member.isfile()}
        assert {name: file.read() for name, file in read.items() if file} == contents
    assert archive_module.BLOCK == tarfile.BLOCKSIZE
