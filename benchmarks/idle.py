"""What an idle daemon costs: CPU of the whole tree over a minute, its memory, and that of a pre-started runtime."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Iterator

from benchmarks.figure import Line, NotMeasured, at_most
from benchmarks.guide import executor
from benchmarks.hello import spares
from benchmarks.place import daemon, folder
from benchmarks.redis import available, served
from tests.harness import Daemon, tree_of, wait_until, waits_for_a_job

SECONDS = 60.0
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def measure() -> Iterator[Line]:
    """CPU with 4 workers, memory with 2 and no spare, memory of a spare."""
    with daemon(workers=4) as running:
        warm_up(running)
        before, began = cpu_s(running), time.monotonic()
        time.sleep(SECONDS)
        used, passed = cpu_s(running) - before, time.monotonic() - began
    percent = 100 * used / passed
    yield at_most(
        "idle CPU of the whole tree, 4 workers", percent, 0.1, f"{used:.3f} s in {passed:.0f} s", "% of a core"
    )
    with daemon("[pools.scripts]\nprestart = 0\n", workers=2) as running:
        warm_up(running)
        sizes = [pss_mib(pid) for pid in tree_of(running.pid)]
    yield at_most("idle memory, 2 workers, no spares (PSS)", sum(sizes), 45, f"{len(sizes)} processes", "MB")
    yield _against_bullmq(sum(sizes))
    with daemon(workers=2) as running:
        wait_until(lambda: spares(running) == 2, 60, "two pre-started runtimes")
        sizes = [pss_mib(pid) for pid, title in tree_of(running.pid).items() if waits_for_a_job(title)]
    yield at_most("a spare Node where two wait (PSS)", max(sizes), 30, f"{len(sizes)} spares", "MB")


def _against_bullmq(ours_mib: float) -> Line:
    what = "the same, against a BullMQ worker and its Redis"
    if available() is None:
        return NotMeasured(what, "redis-server is not installed")
    with folder() as place, served(place / "redis", "none") as (port, server), executor(port) as peer:
        time.sleep(3)
        theirs_mib = pss_mib(server) + pss_mib(peer.pid)
    return at_most(what, ours_mib / theirs_mib, 1, f"{ours_mib:.0f} MB against {theirs_mib:.0f} MB")


def warm_up(running: Daemon) -> None:
    """One job each worker, and time for what follows a start."""
    for _ in range(4):
        assert running.ctl("run", "-", stdin=b"0").returncode == 0
    time.sleep(3)


def cpu_s(running: Daemon) -> float:
    """CPU seconds of all processes of the daemon that live now, and of those that they have waited for."""
    total = 0.0
    for pid in tree_of(running.pid):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += sum(map(int, fields[11:15])) * _TICK_S
    return total


def pss_mib(pid: int) -> float:
    """The proportional set size of a process."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0
