"""How many jobs a second are taken, each durable when it is answered, against BullMQ.

Nobody takes the jobs on either side. Both sides hold the script in memory, send it with each job, take bulks of a
thousand or 64 single ones under way at once, and have taken some before the clock starts. Rounds take turns.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import time
from collections.abc import Callable, Iterator

from benchmarks.figure import Line, NotMeasured, at_least, median
from benchmarks.peers.install import node_peers
from benchmarks.place import ONE_LINE, clean_environment, daemon, folder, node
from benchmarks.redis import Durability, available, redis
from ctl import Client
from ctl.prepare import new_request_id
from tests.harness import ROOT, Daemon

JOBS = 10_000
WARM = 1_000
ROUNDS = 3
UNDER_WAY = 64
KINDS = ("bulk", "single")
BARS = {"bulk": 2.5, "single": 1.0}
DURABILITIES: tuple[Durability, ...] = ("none", "always")


def measure() -> Iterator[Line]:
    """Bulk and single submits, against BullMQ as guides start Redis, and with our durability."""
    ours: dict[str, list[float]] = {kind: [] for kind in (*KINDS, "command")}
    theirs: dict[tuple[str, str], list[float]] = {(one, kind): [] for one in DURABILITIES for kind in KINDS}
    peer = available() is not None
    with daemon(workers=0) as running, running.client() as client:
        for _ in range(ROUNDS):
            ours["bulk"].append(_rate(lambda jobs: _bulk(client, jobs)))
            ours["single"].append(_rate(lambda jobs: _pipelined(client, jobs)))
            ours["command"].append(_command(running))
            for durability in DURABILITIES if peer else ():
                for kind, rate in _bullmq(durability).items():
                    theirs[durability, kind].append(rate)
    said = {kind: median(rates) for kind, rates in ours.items()}
    if not peer:
        rates = ", ".join(f"{kind} {rate:,.0f}/s" for kind, rate in said.items())
        yield NotMeasured("submits against BullMQ", f"redis-server is not installed; ours: {rates}")
        return
    for durability in DURABILITIES:
        for kind in KINDS:
            rate = median(theirs[durability, kind])
            command = f" (`submit --batch`, whole process: {said['command']:,.0f}/s)" if kind == "bulk" else ""
            yield at_least(
                f"{kind} submits, durable, against BullMQ with appendfsync {durability}",
                said[kind] / rate,
                BARS[kind],
                f"{said[kind]:,.0f}/s{command} against {rate:,.0f}/s",
            )


def _rate(submit: Callable[[int], None]) -> float:
    submit(WARM)
    began = time.perf_counter()
    submit(JOBS)
    return JOBS / (time.perf_counter() - began)


def _bulk(client: Client, jobs: int) -> None:
    answers = client.submit_many({"source": ONE_LINE} for _ in range(jobs))
    assert len(answers) == jobs


def _pipelined(client: Client, jobs: int) -> None:
    """Single submits over one connection, many under way at once."""
    requests = ({"request_id": new_request_id(), "name": "hello.js", "source": ONE_LINE} for _ in range(jobs))
    answers = list(client._session.call_each("submit", requests, UNDER_WAY))
    assert len(answers) == jobs
    assert all("job" in value for _, value in answers)


def _command(running: Daemon) -> float:
    """The same by `workerctl submit --batch`, from its start to its end."""
    batch: pathlib.Path = running.folder / "batch"
    script = running.folder / "hello.js"
    script.write_text(ONE_LINE)
    batch.write_text("".join(f'{{"file": "{script}", "args": ["{number}"]}}\n' for number in range(JOBS)))
    began = time.perf_counter()
    running.ctl("submit", "--batch", str(batch), check=True)
    return JOBS / (time.perf_counter() - began)


def _bullmq(durability: Durability) -> dict[str, float]:
    with folder() as place, redis(place / "redis", durability) as port:
        said = subprocess.run(
            [
                node(),
                str(ROOT / "benchmarks/peers/add.mjs"),
                str(node_peers() / "x.js"),
                str(port),
                str(JOBS),
                str(WARM),
                str(UNDER_WAY),
            ],
            capture_output=True,
            env=clean_environment(),
            check=True,
        )
    rates: dict[str, float] = json.loads(said.stdout)
    return rates
