"""A handler that does nothing, resident, one lease at a time, FULL: jobs a second against BullMQ, Celery and Huey.

The queue is filled before the clock starts, on every side.
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
    if available() is None:
        yield NotMeasured(
            "no-op handler against BullMQ and Celery", f"redis-server is not installed; ours {ours:,.0f}/s"
        )
    else:
        for durability, bar in (("always", 1.5), ("none", 0.7)):
            yield _line(
                f"BullMQ with appendfsync {durability}", ours, median(_bullmq(durability) for _ in range(ROUNDS)), bar
            )  # type: ignore[arg-type]
        yield _line("Celery", ours, median(_celery() for _ in range(ROUNDS)), 2)
    yield _line("Huey on SQLite", ours, median(_huey() for _ in range(ROUNDS)), 2)


def _line(peer: str, ours: float, theirs: float, bar: float) -> Line:
    return at_least(
        f"no-op handler, {WORKERS} workers, against {peer}",
        ours / theirs,
        bar,
        f"{ours:,.0f}/s against {theirs:,.0f}/s",
    )


def _ours() -> float:
    with folder() as code:
        (code / "nothing_handler.py").write_text(HANDLER)
        settings = (
            f'[pools.scripts]\nreplicas = 0\n[pools.nothing]\nhandler = "nothing_handler:Nothing"\n'
            f'types = ["nothing"]\npython_path = ["{code}"]\nreplicas = {WORKERS}\n'
        )
        with daemon(settings) as running, running.client() as client:
            client.wait(client.submit(type="nothing"))
            running.ctl("pause", check=True)
            submitted = client.submit_many({"type": "nothing"} for _ in range(JOBS))
            running.ctl("resume", check=True)
            began = time.perf_counter()
            done = sum(job.state == "completed" for job in client.wait_each([job.id for job in submitted]))
            took = time.perf_counter() - began
    assert done == JOBS
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
