"""How far a job gets past each of its limits before it is stopped: `python -m benchmarks.overshoot`.

Starts a daemon of its own for each isolation level, runs greedy jobs several times each, and prints one table.
"""

from __future__ import annotations

import pathlib
import statistics
import tempfile
from collections.abc import Callable

from supervisor.core.names import ISOLATION
from tests.harness import Daemon, running_daemon

ROUNDS = 7
MIB = 1 << 20

Measure = Callable[[dict], float]


def peak_mib(job: dict) -> float:
    return job["attempts"][-1]["peak_memory_bytes"] / MIB


def cpu_s(job: dict) -> float:
    return job["attempts"][-1]["cpu_s"]


def wall_s(job: dict) -> float:
    return job["attempts"][-1]["wall_s"]


CASES: dict[str, tuple[str, str, tuple[str, ...], str, float, str, Measure]] = {
    "memory, Buffers as fast as possible": (
        "a.js", "const a=[];for(;;)a.push(Buffer.alloc(1<<20,1))", ("--memory", "128M"), "memory_limit", 128, "MiB", peak_mib,
    ),
    "memory, the same at 512 MiB": (
        "a.js", "const a=[];for(;;)a.push(Buffer.alloc(1<<20,1))", ("--memory", "512M"), "memory_limit", 512, "MiB", peak_mib,
    ),
    "memory, a Python bytearray": (
        "a.py", "a=[]\nwhile True: a.append(bytearray(b'x')*(1<<20))", ("--memory", "128M"), "memory_limit", 128, "MiB", peak_mib,
    ),
    "CPU, one process": ("a.js", "for(;;);", ("--cpu", "1s"), "cpu_limit", 1, "s", cpu_s),
    "CPU, four processes": (
        "a.sh", "for i in 1 2 3 4; do (while :; do :; done) & done; wait", ("--cpu", "1s"), "cpu_limit", 1, "s", cpu_s,
    ),
    "wall clock": ("a.js", "setInterval(()=>{},99)", ("--timeout", "1s"), "timeout", 1, "s", wall_s),
    "wall clock, TERM ignored, grace 500 ms": (
        "a.sh", "trap '' TERM; while :; do sleep 0.1; done", ("--timeout", "1s"), "timeout", 1.5, "s", wall_s,
    ),
}  # fmt: skip


def main() -> None:
    print("| limit | isolation | set | median | worst of", ROUNDS, "|")
    print("|---|---|---|---|---|")
    for level in ISOLATION:
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
            settings = f'kill_grace = "500ms"\n[pools.scripts]\nisolation = "{level}"\ncheck = "off"\n'
            with running_daemon(pathlib.Path(folder) / "d", settings) as daemon:
                for name in CASES:
                    print(row(daemon, level, name, pathlib.Path(folder)))


def row(daemon: Daemon, level: str, name: str, folder: pathlib.Path) -> str:
    file, text, options, reason, limit, unit, measure = CASES[name]
    script = folder / file
    script.write_text(text)
    figures = []
    for _ in range(ROUNDS):
        daemon.ctl("submit", "--wait", *options, str(script))
        job = daemon.ask("show", "@last")
        assert job["reason"] == reason, job
        figures.append(measure(job))
    median, worst = statistics.median(figures), max(figures)
    return f"| {name} | {level} | {limit:g} {unit} | {median:.3g} {unit} | {worst:.3g} {unit} |"


if __name__ == "__main__":
    main()
