"""One `hello.js` on an idle daemon, from submit to result, against bare `node hello.js`: turn by turn, with gaps."""

from __future__ import annotations

import pathlib
import random
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.figure import Line, at_most, median, ms, p99
from benchmarks.place import clean_environment, daemon, folder, hello, node, versions
from ctl import Client
from tests.harness import Daemon, wait_until

TURNS = 100
GAP_S = (0.06, 0.11)
MEDIAN_BAR, P99_BAR = 0.45, 0.8


def measure() -> Iterator[Line]:
    """Median and p99 of whole processes against those of submit to final state, result in hand."""
    with folder() as place:
        script = hello(place)
        with daemon() as running, running.client() as client:
            wait_until(lambda: spares(running) >= 2, 30, "two pre-started runtimes")
            bare, own = turns(client, script, TURNS)
    detail = f"{ms(median(own))} against {ms(median(bare))} of bare node, {TURNS} turns with gaps"
    yield at_most("submit to result of hello.js, idle, median", median(own) / median(bare), MEDIAN_BAR, detail)
    detail = f"{ms(p99(own))} against {ms(p99(bare))} of bare node"
    yield at_most("the same, p99", p99(own) / p99(bare), P99_BAR, detail)


def spares(running: Daemon) -> int:
    """How many workers have an interpreter waiting."""
    return sum(worker["spare"] is not None for worker in running.ask("status")["workers"])


def turns(client: Client, script: pathlib.Path, count: int) -> tuple[list[float], list[float]]:
    """Seconds of each, taken in turn."""
    bare, own = [], []
    for _ in range(count):
        time.sleep(random.uniform(*GAP_S))
        bare.append(bare_s(script))
        time.sleep(random.uniform(*GAP_S))
        own.append(own_s(client, script))
    return bare, own


def bare_s(script: pathlib.Path) -> float:
    """`node hello.js` as a whole process, its output to a pipe that is read."""
    began = time.perf_counter()
    done = subprocess.run([node(), str(script)], capture_output=True, env=clean_environment(), check=True)
    took = time.perf_counter() - began
    assert done.stdout == b"hello\n"
    return took


def own_s(client: Client, script: pathlib.Path) -> float:
    """A submit and the wait for its final state over one connection."""
    began = time.perf_counter()
    ended = client.wait(client.submit(file=script).id)
    took = time.perf_counter() - began
    assert ended.state == "completed", ended
    return took


if __name__ == "__main__":
    from benchmarks.__main__ import main

    print(versions(), file=sys.stderr)
    sys.exit(main(["hello"]))
