"""What is kept of a hostile output folder, by the collector alone. Real jobs fill it in tests/e2e."""

from __future__ import annotations

import os
import pathlib
import socket
import stat
from collections.abc import Iterator

import pytest

from supervisor.artifacts import Kept, artifact_folder, read_manifest
from supervisor.paths import Paths
from supervisor.worker import artifacts, beneath
from supervisor.worker.artifacts import Caps, Collected, collect

CAPS = Caps(files=1000, bytes=1 << 20, pool="scripts")


class Left:
    """A job's folder with its output folder, and the collector on it."""

    def __init__(self, tmp_path: pathlib.Path) -> None:
        self.paths = Paths(state_dir=str(tmp_path / "state"), socket="/unused")
        self.job = tmp_path / "job"
        self.output = self.job / "output"
        self.output.mkdir(parents=True)

    def collect(self, caps: Caps = CAPS, owner: int | None = None) -> Collected:
        work_fd = os.open(self.job, os.O_RDONLY)
        try:
            return collect(work_fd, "output", self.paths, 7, 2, caps, os.geteuid() if owner is None else owner)
        finally:
            os.close(work_fd)

    def kept(self) -> dict[bytes, bytes]:
        """Names and contents as they are stored."""
        folder = pathlib.Path(artifact_folder(self.paths, 7, 2))
        return {
            one.name: (folder / str(index)).read_bytes() for index, one in enumerate(read_manifest(self.paths, 7, 2), 1)
        }


@pytest.fixture(params=["openat2", "before Linux 5.6"])
def left(tmp_path: pathlib.Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Left]:
    if request.param != "openat2":
        monkeypatch.setattr(beneath, "_has_openat2", lambda: False)
    before = set(os.listdir("/proc/self/fd"))
    yield Left(tmp_path)
    assert set(os.listdir("/proc/self/fd")) <= before, "no fd is left open"


def test_files_and_folders_are_kept_under_numbers_in_the_order_of_their_names(left: Left) -> None:
    (left.output / "b").write_bytes(b"two")
    (left.output / "a").mkdir()
    (left.output / "a" / "x").write_bytes(b"one")
    (left.output / "a" / "x").chmod(0o4755)
    assert [(one.name, one.size) for one in left.collect().kept] == [(b"a/x", 3), (b"b", 3)]
    assert left.kept() == {b"a/x": b"one", b"b": b"two"}
    assert read_manifest(left.paths, 7, 2)[0] == Kept(b"a/x", 3, 0o755)
    folder = artifact_folder(left.paths, 7, 2)
    assert sorted(os.listdir(folder)) == ["1", "2", "manifest.json"]
    assert {stat.S_IMODE(os.stat(f"{folder}/{name}").st_mode) for name in os.listdir(folder)} == {0o600}


def test_an_empty_folder_leaves_nothing_behind(left: Left) -> None:
    collected = left.collect()
    assert (collected.kept, collected.sentence()) == ([], None)
    assert not os.path.exists(artifact_folder(left.paths, 7, 2))


def test_a_folder_that_the_job_removed_is_no_error(left: Left) -> None:
    left.output.rmdir()
    assert left.collect().sentence() is None


def test_a_link_in_the_place_of_the_folder_is_not_followed(left: Left) -> None:
    left.output.rmdir()
    left.output.symlink_to("/etc")
    collected = left.collect()
    assert collected.kept == [] and "something else was in its place" in str(collected.sentence())


def test_what_is_no_regular_file_is_counted_and_left(left: Left) -> None:
    (left.output / "to a file").symlink_to("/etc/passwd")
    (left.output / "to a folder").symlink_to("/etc")
    (left.output / "up").symlink_to("..")
    os.mkfifo(left.output / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(left.output, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{here}/s")
        os.close(here)
    (left.output / "real").write_bytes(b"x")
    collected = left.collect()
    assert left.kept() == {b"real": b"x"}
    assert collected.sentence() == "not kept of its output folder: 1 named pipe, 1 socket, 3 symbolic links"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_is_left(left: Left) -> None:
    os.mknod(left.output / "null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    assert left.collect().sentence() == "not kept of its output folder: 1 device"


def test_any_byte_may_be_in_a_name(left: Left) -> None:
    names = [b"new\nline", b"not utf-8 \xff\x80", b"\x1b[31mred", b"..hidden", b" ", b"-rf", "ünï".encode()]
    for name in names:
        with open(os.path.join(os.fsencode(left.output), name), "wb") as file:
            file.write(name)
    left.collect()
    assert left.kept() == {name: name for name in names}


def test_a_sparse_file_counts_with_its_holes(left: Left) -> None:
    with open(left.output / "huge", "wb") as file:
        file.truncate(1 << 40)
    with open(left.output / "holes", "wb") as file:
        file.truncate(CAPS.bytes - 1)
    (left.output / "one byte").write_bytes(b"1")
    (left.output / "one more").write_bytes(b"2")
    collected = left.collect()
    assert {name: len(data) for name, data in left.kept().items()} == {b"holes": CAPS.bytes - 1, b"one byte": 1}
    assert collected.sentence() == (
        "not kept of its output folder: 2 files that would make it more than the 1 MiB that are kept "
        "(setting pools.scripts.artifact_bytes)"
    )


def test_a_number_of_files_is_kept_and_the_others_are_counted(left: Left) -> None:
    for number in range(50):
        (left.output / f"{number:02}").write_bytes(b"")
    collected = left.collect(Caps(files=20, bytes=100, pool="web"))
    assert sorted(left.kept()) == [f"{number:02}".encode() for number in range(20)]
    assert "30 files beyond the 20 that are kept (setting pools.web.artifacts)" in str(collected.sentence())


def test_no_files_at_all_may_be_wanted(left: Left) -> None:
    (left.output / "a").write_bytes(b"x")
    assert "1 file beyond the 0 that are kept" in str(left.collect(Caps(0, 0, "web")).sentence())
    assert not os.path.exists(artifact_folder(left.paths, 7, 2))


def test_what_lies_too_deep_is_left(left: Left) -> None:
    folder = os.open(left.output, os.O_RDONLY)
    for _ in range(200):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
        os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    os.close(folder)
    collected = left.collect()
    assert len(collected.kept) == artifacts.MAX_DEPTH - 1
    assert "1 name more than 32 folders or 1024 bytes deep" in str(collected.sentence())


def test_a_folder_of_very_many_names_is_looked_at_in_part(left: Left, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "MAX_NAMES", 10)
    for number in range(30):
        (left.output / str(number)).mkdir()
    assert "whatever came after the first 10 names" in str(left.collect().sentence())


def test_a_file_of_somebody_else_is_left(left: Left) -> None:
    """Root could read what a job has only linked to."""
    (left.output / "a").write_bytes(b"secret")
    collected = left.collect(owner=os.geteuid() + 1)
    assert collected.kept == [] and "1 file that is not the job's own" in str(collected.sentence())


def test_modes_are_no_obstacle(left: Left) -> None:
    folder = left.output / "closed"
    folder.mkdir()
    (folder / "f").write_bytes(b"x")
    (folder / "f").chmod(0)
    folder.chmod(0)
    assert left.collect().sentence() is None
    assert left.kept() == {b"closed/f": b"x"}
    assert read_manifest(left.paths, 7, 2)[0].mode == 0


def test_a_full_disk_keeps_what_it_could_and_says_so(left: Left, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        (left.output / name).write_bytes(name.encode())
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if bytes(data) == b"b":
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(artifacts.os, "write", full)
    collected = left.collect()
    assert left.kept() == {b"a": b"a"}
    assert collected.sentence() == "not kept of its output folder: 2 files that the daemon's disk had no room for"


def test_what_a_dead_worker_had_begun_is_not_listed_and_is_replaced(left: Left) -> None:
    folder = pathlib.Path(artifact_folder(left.paths, 7, 2))
    folder.mkdir(parents=True)
    (folder / "1").write_bytes(b"half")
    assert read_manifest(left.paths, 7, 2) == ()
    (folder / "manifest.json").write_bytes(b'[{"name":')
    assert read_manifest(left.paths, 7, 2) == ()
    (left.output / "a").write_bytes(b"whole")
    left.collect()
    assert left.kept() == {b"a": b"whole"}


def test_only_a_plain_name_is_opened(tmp_path: pathlib.Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"")
    for name in (b"a/b", b"..", b".", b"", b"/etc/passwd"):
        with pytest.raises(OSError):
            beneath.open_file(folder, name)
    os.close(folder)
