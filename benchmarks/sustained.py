"""A full queue of `hello.js`: our jobs a second against `xargs -P2 -n1 node`, turn by turn."""

from __future__ import annotations

import pathlib
import subprocess
import time
from collections.abc import Iterator

from benchmarks.figure import Line, at_least, median
from benchmarks.place import clean_environment, daemon, folder, hello, node
from ctl import Client

JOBS = 200
ROUNDS = 5
WORKERS = 2
BARS = {"plain": 0.95, "namespace": 0.88}


def measure() -> Iterator[Line]:
    """One line an isolation level."""
    with folder() as place:
        script = hello(place)
        for level, bar in BARS.items():
            yield _against_xargs(script, level, bar)


def _against_xargs(script: pathlib.Path, level: str, bar: float) -> Line:
    settings = f'[pools.scripts]\nisolation = "{level}"\n'
    with daemon(settings, WORKERS) as running, running.client() as client:
        ours(client, script, 20)
        rates = [(xargs(script), ours(client, script, JOBS)) for _ in range(ROUNDS)]
    ratio = median(own / bare for bare, own in rates)
    bare, own = median(b for b, _ in rates), median(o for _, o in rates)
    return at_least(
        f"sustained {JOBS} x hello.js, {WORKERS} workers, {level}",
        ratio,
        bar,
        f"{own:.1f} jobs/s against {bare:.1f} of xargs -P{WORKERS}, {ROUNDS} rounds",
    )


def xargs(script: pathlib.Path) -> float:
    """Jobs a second of the bare tool."""
    names = "\n".join([str(script)] * JOBS).encode()
    began = time.perf_counter()
    subprocess.run(
        ["xargs", f"-P{WORKERS}", "-n1", node()],
        input=names,
        stdout=subprocess.DEVNULL,
        env=clean_environment(),
        check=True,
    )
    return JOBS / (time.perf_counter() - began)


def ours(client: Client, script: pathlib.Path, jobs: int) -> float:
    """Jobs a second from the first submit to the last end."""
    began = time.perf_counter()
    submitted = client.submit_many({"file": script} for _ in range(jobs))
    ends = list(client.wait_each([job.id for job in submitted]))
    took = time.perf_counter() - began
    assert len(ends) == jobs and all(job.state == "completed" for job in ends)
    return jobs / took
