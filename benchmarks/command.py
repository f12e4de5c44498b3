"""`workerctl status` and `submit` as whole processes, against `python -c 0` of the same environment."""

from __future__ import annotations

import pathlib
import subprocess
import time
from collections.abc import Iterator, Sequence

from benchmarks.figure import Line, at_most, median, ms
from benchmarks.place import PYTHON, clean_environment, daemon, hello

ROUNDS = 60


def measure() -> Iterator[Line]:
    """One line a verb, interleaved with the bare interpreter."""
    workerctl = pathlib.Path(PYTHON).with_name("workerctl")
    with daemon("[pools.scripts]\nreplicas = 0\n") as running:
        script = hello(running.folder)
        for words in (("status",), ("submit", str(script))):
            command = [str(workerctl), "--socket", running.socket, *words]
            pairs = [(timed([PYTHON, "-c", "0"]), timed(command)) for _ in range(ROUNDS)]
            bare, ours = median(b for b, _ in pairs), median(o for _, o in pairs)
            yield at_most(
                f"workerctl {words[0]}, whole process",
                ours / bare,
                3.0,
                f"{ms(ours)} against {ms(bare)} of python -c 0",
            )


def timed(command: Sequence[str]) -> float:
    """Wall seconds of a command."""
    began = time.perf_counter()
    subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=clean_environment(), check=True,
    )  # fmt: skip
    return time.perf_counter() - began
