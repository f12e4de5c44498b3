"""`workerctl stats`: how much there is, how fast it goes, and why it fails."""

from __future__ import annotations

from ctl.table import print_table
from supervisor.core.names import FINAL_STATES, STATES
from supervisor.core.units import format_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ctl.client import Client
    from ctl.console import Console

DESCRIPTION = """\
Prints the jobs by queue and state, the workers by pool with what they have done so far, what finished in the last
minute and hour, how long the newest 1000 jobs of the last hour waited and ran (half of them at most p50, 95 % at most
p95), and for which reasons jobs failed in the last 24 hours."""
EXAMPLES = ("workerctl stats", "workerctl stats --json")
_TIMES = ("p50", "p95", "max")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb has no options of its own."""


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Prints them."""
    stats = client.stats()
    if console.json:
        console.print_json(stats)
    elif not console.quiet:
        _queues(console, stats)
        _pools(console, stats["pools"])
        _finished(console, stats["finished"])
        _times(console, stats["times"])
        _failures(console, stats["failures"])
    return 0


def _queues(console: Console, stats: dict[str, Any]) -> None:
    rows = [[queue["queue"], *(queue["jobs"].get(state, 0) for state in STATES)] for queue in stats["queues"]]
    if len(rows) != 1:
        rows.append(["all", *(stats["jobs"].get(state, 0) for state in STATES)])
    print_table(console, ["QUEUE", *(state.upper() for state in STATES)], rows)


def _pools(console: Console, pools: list[dict[str, Any]]) -> None:
    console.print("")
    rows = [[_name(pool), *(pool[key] for key in ("done", "failed")), _busy(pool), pool["restarts"]] for pool in pools]
    print_table(console, ["POOL", "DONE", "FAILED", "BUSY", "RESTARTS"], rows)


def _name(pool: dict[str, Any]) -> str:
    workers = ", ".join(f"{count} {state}" for state, count in pool["workers"].items())
    return f"{pool['pool']} ({workers or 'gone'})"


def _busy(pool: dict[str, Any]) -> str:
    return format_duration(pool["busy_s"])


def _finished(console: Console, finished: dict[str, dict[str, int]]) -> None:
    console.print("")
    states = [state for state in STATES if state in FINAL_STATES]
    rows = [[words.replace("_", " "), *(counts[state] for state in states)] for words, counts in finished.items()]
    print_table(console, ["FINISHED", *(state.upper() for state in states)], rows)


def _times(console: Console, times: dict[str, Any]) -> None:
    console.print("")
    rows = [
        [words, *(_duration(times[key][column]) for column in _TIMES)]
        for words, key in (("waited", "wait_s"), ("ran", "run_s"))
    ]
    print_table(console, [f"OF {times['of_jobs']} JOBS", *(column.upper() for column in _TIMES)], rows)


def _duration(seconds: float | None) -> str | None:
    return None if seconds is None else format_duration(seconds)


def _failures(console: Console, failures: list[dict[str, Any]]) -> None:
    console.print("")
    if failures:
        rows = [[failure["reason"], failure["jobs"]] for failure in failures]
        print_table(console, ["FAILED IN 24 H", "JOBS"], rows)
    else:
        console.print("no job failed in the last 24 hours")
