"""`workerctl workers`: each worker, what it does now, and what it has done so far."""

from __future__ import annotations

from ctl.moments import between
from ctl.table import print_table
from supervisor.core.units import format_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ctl.client import Client
    from ctl.console import Console

HEADER = ("NAME", "POOL", "STATE", "JOB", "DONE", "FAILED", "BUSY", "RESTARTS", "LAST BEAT", "NOTE")
GONE = "gone"
DESCRIPTION = """\
Prints each worker: its job and for how long it runs, the attempts that ended well (DONE) and otherwise (FAILED), how
long its jobs ran (BUSY), how often it was replaced and why, and how long ago its loop turned last. The numbers outlive
the worker, the broker and the daemon. --json also has the slots that are gone; -q prints the names alone."""
EXAMPLES = ("workerctl workers", "workerctl workers --all", "workerctl workers --json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    parser.add_argument("--all", action="store_true", help="also the slots that are gone")
    parser.add_argument("--no-headers", action="store_true", help="without the line of headers")


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Prints them."""
    workers = client.workers()
    if console.json:
        console.print_json(workers)
        return 0
    shown = [worker for worker in workers if options.all or worker["state"] != GONE]
    if console.quiet:
        for worker in shown:
            console.print(worker["name"])
    else:
        print_table(console, HEADER, [_row(worker) for worker in shown], headers=not options.no_headers)
    return 0


def _row(worker: dict[str, Any]) -> list[object]:
    return [
        worker["name"],
        worker["pool"],
        worker["state"],
        _job(worker),
        worker["done"],
        worker["failed"],
        format_duration(worker["busy_s"]),
        restarts(worker),
        _beat(worker["last_beat_s"]),
        worker["note"],
    ]


def _job(worker: dict[str, Any]) -> str | None:
    if worker["job"] is None:
        return None
    since = worker.get("job_started_at")
    return f"{worker['job']} ({between(since, None)})" if since else str(worker["job"])


def restarts(worker: dict[str, Any]) -> str:
    """`3 (SIGKILL 2, exit 6)`: how often, and for which reasons."""
    reasons = sorted(worker["reasons"].items(), key=lambda item: (-item[1], item[0]))
    words = ", ".join(f"{reason} {count}" if count > 1 else reason for reason, count in reasons)
    return f"{worker['restarts']} ({words})" if words else str(worker["restarts"])


def _beat(seconds: float | None) -> str | None:
    return None if seconds is None else f"{format_duration(seconds)} ago"
