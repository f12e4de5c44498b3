"""A handler that does nothing, resident, FULL: jobs a second against BullMQ, Celery and Huey; with `lease_batch`, too.

The queue is filled before the clock starts, on every side. Celery and Huey are asked every 2 ms what is left, BullMQ's
own process counts; ours is asked for its counters every 5 ms.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import time
from collections.abc import Iterator

from benchmarks.figure import Line, NotMeasured, at_least, median
from benchmarks.peers.install import node_peers, python_peers
from benchmarks.place import clean_environment, daemon, folder, node
from benchmarks.redis import Durability, available, redis
from tests.harness import ROOT

JOBS = 2_000
ROUNDS = 3
WORKERS = 2
BATCH = 10
LOOK_S = 0.005
HANDLER = """\
from supervisor import JobWorker


class Nothing(JobWorker):
    types = {"nothing"}

    def execute(self, job, context):
        return None
"""


def measure() -> Iterator[Line]:
    """Ours against each peer."""
    ours = median(_ours() for _ in range(ROUNDS))
    batched = median(_ours(BATCH) for _ in range(ROUNDS))
    if available() is None:
        yield NotMeasured(
            "no-op handler against BullMQ and Celery",
            f"redis-server is not installed; ours {ours:,.0f}/s, {batched:,.0f}/s with lease_batch = {BATCH}",
        )
    else:
        durable = median(_bullmq("always") for _ in range(ROUNDS))
        yield _line("BullMQ with appendfsync always", ours, durable, 1.5)
        yield _line("BullMQ with appendfsync always", batched, durable, 3, f"lease_batch = {BATCH}, ")
        yield _line("BullMQ without persistence", ours, median(_bullmq("none") for _ in range(ROUNDS)), 0.7)
        yield _line("Celery", ours, median(_celery() for _ in range(ROUNDS)), 2)
    yield _line("Huey on SQLite", ours, median(_huey() for _ in range(ROUNDS)), 2)


def _line(peer: str, ours: float, theirs: float, bar: float, how: str = "") -> Line:
    return at_least(
        f"no-op handler, {WORKERS} workers, {how}against {peer}",
        ours / theirs,
        bar,
        f"{ours:,.0f}/s against {theirs:,.0f}/s",
    )


def _ours(batch: int = 1) -> float:
    with folder() as code:
        (code / "nothing_handler.py").write_text(HANDLER)
        settings = (
            f'[pools.scripts]\nreplicas = 0\n[pools.nothing]\nhandler = "nothing_handler:Nothing"\n'
            f'types = ["nothing"]\npython_path = ["{code}"]\nreplicas = {WORKERS}\nlease_batch = {batch}\n'
        )
        with daemon(settings) as running, running.client() as client:
            client.wait(client.submit(type="nothing"))
            running.ctl("pause", check=True)
            submitted = client.submit_many({"type": "nothing"} for _ in range(JOBS))
            running.ctl("resume", check=True)
            began = time.perf_counter()
            while client.status()["jobs"]["completed"] <= JOBS:  # with the one that warmed it up
                time.sleep(LOOK_S)
            took = time.perf_counter() - began
            assert all(job.state == "completed" for job in client.wait_each([job.id for job in submitted]))
    return JOBS / took


def _bullmq(durability: Durability) -> float:
    with folder() as place, redis(place / "redis", durability) as port:
        script = ROOT / "benchmarks/peers/noop.mjs"
        return _said([node(), script, node_peers() / "x.js", port, JOBS, WORKERS])


def _celery() -> float:
    with folder() as place, redis(place / "redis", "none") as port:
        return _said([python_peers(), ROOT / "benchmarks/peers/celery_noop.py", port, JOBS, WORKERS])


def _huey() -> float:
    with folder() as place:
        return _said([python_peers(), ROOT / "benchmarks/peers/huey_noop.py", place, JOBS, WORKERS])


def _said(command: list[str | pathlib.Path | int]) -> float:
    done = subprocess.run(
        [os.fspath(word) if isinstance(word, pathlib.Path) else str(word) for word in command],
        capture_output=True,
        env=clean_environment(),
        check=True,
    )
    return float(json.loads(done.stdout))
