"""`python -m benchmarks.stages`: where the time of one `hello.js` on an idle daemon goes, from its events' times.

Each event carries the moment at which its transaction began; the client adds when it asked and when it was answered.
"""

from __future__ import annotations

import datetime
import json
import pathlib
import random
import sys
import time
from typing import Any

from benchmarks.figure import median
from benchmarks.hello import GAP_S, spares
from benchmarks.place import daemon, folder, hello, versions
from ctl import Client
from tests.harness import Daemon, wait_until

TURNS = 100
STAGES = (
    "submit sent -> the broker's writer has it",
    "-> leased",
    "submit sent -> acknowledged: one commit for both",
    "leased -> its end is with the broker's writer",
    "of it from the opened gate to the end of the tree",
    "its end -> the result at the client: one commit",
    "all",
)


def main() -> int:
    """Prints the least and the median of each stage, in milliseconds."""
    with folder() as place, daemon() as running, running.client() as client:
        script = hello(place)
        wait_until(lambda: spares(running) >= 2, 30, "two pre-started runtimes")
        turns = [_turn(running, client, script) for _ in range(TURNS)]
    print(f"{versions()}, {TURNS} turns\n\n| stage | least, ms | median, ms |\n|---|---|---|")
    for stage, times in zip(STAGES, zip(*turns, strict=True), strict=True):
        print(f"| {stage} | {min(times) * 1000:.1f} | {median(times) * 1000:.1f} |")
    return 0


def _turn(running: Daemon, client: Client, script: pathlib.Path) -> tuple[float, ...]:
    time.sleep(random.uniform(*GAP_S))
    asked = time.time()
    job = client.submit(file=script)
    acknowledged = time.time()
    ended = client.wait(job)
    answered = time.time()
    told = running.ctl("events", "--json", "--job", str(job.id), check=True).stdout
    at = {event["event"]: _seconds(event) for event in map(json.loads, told.splitlines())}
    wall_s = ended.attempts[-1].wall_s
    assert ended.state == "completed" and wall_s is not None
    submitted, leased, settled = at["submitted"], at["running"], at["completed"]
    return (
        submitted - asked,
        leased - submitted,
        acknowledged - asked,
        settled - leased,
        wall_s,
        answered - settled,
        answered - asked,
    )


def _seconds(event: dict[str, Any]) -> float:
    return datetime.datetime.fromisoformat(event["at"]).timestamp()


if __name__ == "__main__":
    sys.exit(main())
