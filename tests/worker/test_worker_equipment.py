"""What a worker finds at its start on a disk that is full: it waits for room, and takes no weaker isolation for it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor.child import WorkerContext
from supervisor.config import Pool, Settings
from supervisor.core.shortage import Shortage
from supervisor.paths import Paths
from supervisor.scoreboard import Slot
from supervisor.worker.equipment import Equipment
from tests.e2e.test_disk_full import fill

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small one."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=300,mode=0711", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def context(disk: Path, pool: Pool) -> WorkerContext:
    paths = Paths(str(disk.parent / "state"), str(disk.parent / "s"), str(disk))
    os.makedirs(paths.cache, exist_ok=True)
    return WorkerContext(
        settings=Settings(state_dir=paths.state_dir, socket=paths.socket, slot_uid_base=3_900_000),
        paths=paths,
        pool=pool,
        name="scripts/1",
        index=0,
        incarnation="a-1",
        scoreboard=Slot.of_nobody(),
        lock_fd=os.open(os.devnull, os.O_RDONLY),
        mark="0" * 32,
        cgroup=None,
    )


def use_up_names(place: Path) -> None:
    place.mkdir()
    for number in range(1000):
        try:
            (place / str(number)).mkdir()
        except OSError:
            return
    raise AssertionError("the disk has no end")


@pytest.mark.parametrize(("prestart", "want"), [(1, fill), (0, use_up_names)], ids=["bytes", "names"])
def test_a_full_disk_is_waited_for(disk: Path, prestart: int, want: Callable[[Path], None]) -> None:
    told = context(disk, Pool(name="scripts", replicas=1, types=("shell", "python"), prestart=prestart))
    before = Equipment(told)
    before.close()
    want(disk / "ballast")
    with pytest.raises(Shortage, match="room"):
        Equipment(told)
    subprocess.run(["rm", "-rf", str(disk / "ballast")], check=True)
    after = Equipment(told)
    assert (after.level, after.notes) == (before.level, before.notes)
    after.close()
