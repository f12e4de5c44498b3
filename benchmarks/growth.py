"""What ten thousand jobs leave in the memory of the two processes that live for ever.

They come a thousand at a time, and three thousand come before: what one burst needs at once, and what a cache of a
fixed size takes until it is full, is no growth.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

from benchmarks.figure import Line, at_most
from benchmarks.place import daemon
from tests.harness import Daemon

JOBS = 10_000
BURST = 1_000
WARM_UP = 3_000


def measure() -> Iterator[Line]:
    """One line for both together."""
    with daemon('[pools.scripts]\nisolation = "plain"\ncheck = "off"\n') as running, running.client() as client:
        script = running.folder / "nothing.sh"
        script.write_text("exit 0\n")

        def burst() -> None:
            submitted = client.submit_many({"file": script} for _ in range(BURST))
            assert sum(1 for _ in client.wait_each([job.id for job in submitted])) == BURST

        for _ in range(WARM_UP // BURST):
            burst()
        before = _rss_mib(running)
        for _ in range(JOBS // BURST):
            burst()
        after = _rss_mib(running)
    grown = {name: after[name] - before[name] for name in before}
    yield at_most(
        f"{JOBS:,} jobs: growth of RSS of arbiter and broker",
        sum(grown.values()),
        2,
        ", ".join(f"{name} {before[name]:.1f} -> {after[name]:.1f}" for name in before),
        "MB",
    )


def _rss_mib(running: Daemon) -> dict[str, float]:
    pids = {"arbiter": running.pid, "broker": running.pid_of("broker")}
    return {name: _rss_of(pid) for name, pid in pids.items()}


def _rss_of(pid: int) -> float:
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"process {pid} is gone")
