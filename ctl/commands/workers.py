"""`workerctl workers`: each worker, what it does now, and what it has done so far."""

from __future__ import annotations

from ctl.columns import Column, Columns
from ctl.moments import between
from supervisor.core.units import format_duration, format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ctl.client import Client
    from ctl.console import Console

GONE = "gone"
DESCRIPTION = """\
Prints each worker: its job and for how long it runs, the attempts that ended well (DONE) and otherwise (FAILED), how
long its jobs ran (BUSY), how often it was replaced and why, and how long ago its loop turned last. The numbers outlive
the worker, the broker and the daemon. -o wide also has what its job uses, CPU time and memory, once it has run for a
second. --json also has the slots that are gone; -q prints the names alone."""
EXAMPLES = (
    "workerctl workers",
    "workerctl workers --all",
    "workerctl workers -o wide --sort busy",
    "workerctl workers --json",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    parser.add_argument("--all", action="store_true", help="also the slots that are gone")
    WORKERS.add_options(parser)


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Prints them."""
    WORKERS.check(options)
    workers = WORKERS.sorted(client.workers(), options)
    shown = [worker for worker in workers if options.all or worker["state"] != GONE]
    if console.json:
        console.print_json(workers)
    elif console.quiet:
        for worker in shown:
            console.print(worker["name"])
    else:
        WORKERS.print(console, shown, options)
    return 0


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


def _duration(seconds: float | None) -> str | None:
    return None if seconds is None else format_duration(seconds)


def _memory(worker: dict[str, Any]) -> object:
    return None if worker.get("memory_bytes") is None else format_size(worker["memory_bytes"])


WORKERS = Columns(
    {
        "name": Column(lambda worker: worker["name"]),
        "pool": Column(lambda worker: worker["pool"]),
        "state": Column(lambda worker: worker["state"]),
        "pid": Column(lambda worker: worker["pid"]),
        "job": Column(_job, lambda worker: worker["job"]),
        "cpu": Column(lambda worker: _duration(worker.get("cpu_s")), lambda worker: worker.get("cpu_s")),
        "memory": Column(_memory, lambda worker: worker.get("memory_bytes")),
        "done": Column(lambda worker: worker["done"]),
        "failed": Column(lambda worker: worker["failed"]),
        "busy": Column(lambda worker: format_duration(worker["busy_s"]), lambda worker: worker["busy_s"]),
        "restarts": Column(restarts, lambda worker: worker["restarts"]),
        "last beat": Column(lambda worker: _beat(worker["last_beat_s"]), lambda worker: worker["last_beat_s"]),
        "note": Column(lambda worker: worker["note"]),
    },
    usual=("name", "pool", "state", "job", "done", "failed", "busy", "restarts", "last beat", "note"),
    wide=(
        "name",
        "pool",
        "state",
        "pid",
        "job",
        "cpu",
        "memory",
        "done",
        "failed",
        "busy",
        "restarts",
        "last beat",
        "note",
    ),
)
