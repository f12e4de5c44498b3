"""A work folder is emptied whatever a job made in it, and nothing outside is touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sandbox_bench import Bench

from supervisor.sandbox import Prepared, SlotClass, folder


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, Path]:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "treasure").write_text("safe")
    inside = tmp_path / "inside"
    inside.mkdir()
    return inside, outside


def emptied(path: Path) -> list[str]:
    fd = folder.open_folder(str(path))
    try:
        folder.empty(fd)
    finally:
        os.close(fd)
    return os.listdir(path)


def test_links_are_removed_and_never_followed(place: tuple[Path, Path]) -> None:
    inside, outside = place
    (inside / "file").symlink_to(outside / "treasure")
    (inside / "folder").symlink_to(outside)
    (inside / "deep").mkdir()
    (inside / "deep" / "up").symlink_to("../..")
    (inside / "loop").symlink_to("loop")
    os.mkfifo(inside / "pipe")
    os.link(outside / "treasure", inside / "hard")
    assert emptied(inside) == []
    assert (outside / "treasure").read_text() == "safe"


def test_a_folder_that_became_a_link_is_not_entered(place: tuple[Path, Path]) -> None:
    inside, outside = place
    inside.rmdir()
    inside.symlink_to(outside)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        folder.open_folder(str(inside))
    parent = folder.open_folder(str(inside.parent))
    folder.remove(parent, "inside")
    os.close(parent)
    assert (outside / "treasure").exists()


def test_depth_beyond_every_stack_and_modes_without_rights_do_not_matter(place: tuple[Path, Path]) -> None:
    inside, _ = place
    fd = os.open(inside, os.O_RDONLY)
    for number in range(3000):
        os.mkdir("d", 0o700, dir_fd=fd)
        os.mkdir(".removed-1", 0o700, dir_fd=fd)
        deeper = os.open("d", os.O_RDONLY, dir_fd=fd)
        if number % 100 == 0:
            os.mkdir("locked", 0o700, dir_fd=fd)
            os.mkdir("locked/inner", 0, dir_fd=fd)
            os.chmod("locked", 0, dir_fd=fd)
        os.close(fd)
        fd = deeper
    os.close(fd)
    assert emptied(inside) == []


def test_what_a_job_left_on_the_disk_is_wiped_before_the_next_holder(bench: Bench) -> None:
    disk = SlotClass(work="disk")
    source = "ln -s / root; ln -s /etc/passwd p; mkdir -p a/b/c; touch a/b/x; chmod 0 a/b; chmod 0 a; mkfifo pipe"
    job = bench.open_job(["/bin/sh", "-c", source], slot_class=disk)
    assert job.finish().code == 0
    assert bench.holder.close()
    assert job.slot.close()
    assert [name for _, _, names in os.walk(bench.root) for name in names] == []


def test_the_worker_writes_through_the_descriptor_before_the_start(bench: Bench) -> None:
    with bench.open_job(["/bin/cat", "sub/file"]) as job:
        assert isinstance(job.events[0], Prepared)
        job.finish()
    assert bench.run(["/bin/cat", "given"], files={"given": "x" * 1000}).out == "x" * 1000
