"""How many jobs a second are taken, each durable when it is answered, against BullMQ."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from collections.abc import Iterator

from benchmarks.figure import Line, NotMeasured, at_least, median
from benchmarks.peers.install import node_peers
from benchmarks.place import clean_environment, daemon, folder, node
from benchmarks.redis import Durability, available, redis
from ctl import Client
from tests.harness import ROOT

JOBS = 10_000
ROUNDS = 3


def measure() -> Iterator[Line]:
    """Bulk and single submits, against BullMQ as guides start Redis, and with our durability."""
    with daemon("[pools.scripts]\nreplicas = 0\n") as running, running.client() as client:
        script = running.folder / "hello.js"
        script.write_text('console.log("hello");\n')
        ours = {
            "bulk": median(
                _rate(lambda: client.submit_many({"file": script} for _ in range(JOBS))) for _ in range(ROUNDS)
            ),
            "single": median(_rate(lambda: _pipelined(client, script.read_text())) for _ in range(ROUNDS)),
        }
    if available() is None:
        yield NotMeasured("submits against BullMQ", f"redis-server is not installed; ours: {_say(ours)}")
        return
    for durability, bars in (("none", (2.5, 1.0)), ("always", (2.5, 1.0))):
        theirs = _bullmq(durability)  # type: ignore[arg-type]
        for kind, bar in zip(("bulk", "single"), bars, strict=True):
            yield at_least(
                f"{kind} submits, durable, against BullMQ with appendfsync {durability}",
                ours[kind] / theirs[kind],
                bar,
                f"{ours[kind]:,.0f}/s against {theirs[kind]:,.0f}/s",
            )


def _rate(submit: object) -> float:
    began = time.perf_counter()
    submit()  # type: ignore[operator]
    return JOBS / (time.perf_counter() - began)


def _pipelined(client: Client, source: str) -> None:
    """Single submits over one connection, many under way at once."""
    requests = [
        {"request_id": f"{secrets.token_hex(8)}-{number}", "name": "hello.js", "source": source}
        for number in range(JOBS)
    ]
    answers = client._session.call_many("submit", requests)
    assert all("job" in answer for answer in answers)


def _bullmq(durability: Durability) -> dict[str, float]:
    rounds = []
    with folder() as place:
        for number in range(ROUNDS):
            with redis(place / str(number), durability) as port:
                said = subprocess.run(
                    [node(), str(ROOT / "benchmarks/peers/add.mjs"), str(node_peers() / "x.js"), str(port), str(JOBS)],
                    capture_output=True,
                    env=clean_environment(),
                    check=True,
                )
                rounds.append(json.loads(said.stdout))
    return {kind: median(one[kind] for one in rounds) for kind in ("bulk", "single")}


def _say(rates: dict[str, float]) -> str:
    return ", ".join(f"{kind} {rate:,.0f}/s" for kind, rate in rates.items())
