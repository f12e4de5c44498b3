"""How fast things end and come back: a cancelled job's tree, and a killed worker's replacement."""

from __future__ import annotations

import os
import pathlib
import signal
import time
from collections.abc import Iterator

from benchmarks.figure import Line, at_most, median
from benchmarks.place import daemon, hello
from ctl import Client
from tests.harness import Daemon, wait_until

ROUNDS = 15
WAITS = "setInterval(() => {}, 1000)  // heeds TERM, as every script does that installs no handler\n"


def measure() -> Iterator[Line]:
    """Both, in milliseconds."""
    with daemon(workers=1) as running, running.client() as client:
        waits = _script(running, "waits.js", WAITS)
        cancels = [_cancel_s(client, waits) for _ in range(ROUNDS)]
    yield at_most(
        "cancel -> tree gone",
        1000 * median(cancels),
        100,
        f"{ROUNDS} cancels, worst {max(cancels) * 1000:.0f} ms",
        "ms",
    )
    comebacks = []
    for _ in range(5):
        # A daemon each: the second death within a minute is deliberately not replaced at once.
        with daemon(workers=1) as running, running.client() as client:
            comebacks.append(_comeback_s(running, client))
    yield at_most(
        "killed worker -> replacement leases a job",
        1000 * median(comebacks),
        500,
        f"worst {max(comebacks) * 1000:.0f} ms",
        "ms",
    )


def _script(running: Daemon, name: str, text: str) -> pathlib.Path:
    path = running.folder / name
    path.write_text(text)
    return path


def _running(client: Client, script: pathlib.Path) -> int:
    job = client.submit(script)
    wait_until(lambda: client.show(job.id).attempts and client.show(job.id).state == "running", 10)
    time.sleep(0.2)
    return job.id


def _cancel_s(client: Client, waits: pathlib.Path) -> float:
    job = _running(client, waits)
    began = time.perf_counter()
    client.cancel(job)
    client.wait(job)
    return time.perf_counter() - began


def _comeback_s(running: Daemon, client: Client) -> float:
    victim = running.pid_of("worker scripts/1")
    script = hello(running.folder)
    client.wait(client.submit(script))
    began = time.perf_counter()
    os.kill(victim, signal.SIGKILL)
    client.wait(client.submit(script))
    return time.perf_counter() - began
