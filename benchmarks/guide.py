"""One `hello.js` on an idle machine: ours against BullMQ with the child-process executor of the usual guides, in turn."""

from __future__ import annotations

import contextlib
import json
import pathlib
import random
import subprocess
import time
from collections.abc import Iterator

from benchmarks.figure import Line, NotMeasured, at_most, median, ms
from benchmarks.hello import GAP_S, own_s, spares
from benchmarks.peers.install import node_peers
from benchmarks.place import clean_environment, daemon, folder, hello, node
from benchmarks.redis import available, redis
from tests.harness import ROOT, wait_until

TURNS = 100
BAR = 0.4


def measure() -> Iterator[Line]:
    """Medians, each from the submit to the result in hand. Their Redis writes nothing to the disk."""
    what = "submit to result of hello.js against BullMQ and a spawned Node"
    if available() is None:
        yield NotMeasured(what, "redis-server is not installed")
        return
    with folder() as place, daemon() as running, running.client() as client, redis(place / "redis", "none") as port:
        script = hello(place)
        wait_until(lambda: spares(running) >= 2, 30, "two pre-started runtimes")
        with executor(port) as peer:
            theirs, own = [], []
            for _ in range(TURNS):
                time.sleep(random.uniform(*GAP_S))
                theirs.append(_once(peer))
                time.sleep(random.uniform(*GAP_S))
                own.append(own_s(client, script))
    ratio = median(own) / median(theirs)
    yield at_most(what, ratio, BAR, f"{ms(median(own))} against {ms(median(theirs))}, {TURNS} turns with gaps")


@contextlib.contextmanager
def executor(port: int) -> Iterator[subprocess.Popen[str]]:
    program: list[str | pathlib.Path] = [node(), ROOT / "benchmarks/peers/guide.mjs", node_peers() / "x.js", str(port)]
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=clean_environment()
    ) as started:
        assert started.stdin is not None and started.stdout is not None
        assert started.stdout.readline() == "ready\n"
        yield started
        started.stdin.close()


def _once(peer: subprocess.Popen[str]) -> float:
    assert peer.stdin is not None and peer.stdout is not None
    peer.stdin.write("once\n")
    return float(json.loads(peer.stdout.readline())) / 1000
