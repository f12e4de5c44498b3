"""`workerctl status`: the daemon at a glance, or the named jobs. Also what `workerctl` alone does."""

from __future__ import annotations

from ctl.columns import USUAL, print_jobs
from ctl.console import escape
from ctl.table import print_table
from ctl.targets import add_job, job_ids
from supervisor.core.units import format_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ctl.client import Client
    from ctl.console import Console

RECENT_JOBS = 10
EXAMPLES = ("workerctl", "workerctl status 42 @last", "workerctl status --json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    add_job(parser, many="*")


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Prints the status."""
    if options.jobs:
        return _jobs(client, console, options.jobs)
    status = client.status()
    if console.json:
        console.print_json(status)
    elif console.quiet:
        for worker in status["workers"]:
            if worker.get("job") is not None:
                console.print(str(worker["job"]))
    else:
        _print_daemon(console, status)
        recent = client.list(limit=RECENT_JOBS)
        if recent:
            console.print("")
            print_jobs(console, recent)
    return 0


def _jobs(client: Client, console: Console, words: list[str]) -> int:
    jobs = [client.show(job) for job in job_ids(client, words)]
    if console.json:
        console.print_json([job.raw for job in jobs])
    elif console.quiet:
        for job in jobs:
            console.print(str(job.id))
    else:
        print_jobs(console, jobs, USUAL)
    return 0


def _print_daemon(console: Console, status: dict[str, Any]) -> None:
    isolation = status.get("isolation") or {}
    state = escape(status["state"])
    console.print(
        f"worker-supervisor {escape(status['version'])}  {console.paint(state)}  pid {escape(status['pid'])}  "
        f"up {format_duration(status['uptime_s'])}  isolation {escape(isolation.get('level', '-'))}"
    )
    counts = [f"{number} {console.paint(state) if number else state}" for state, number in status["jobs"].items()]
    console.print("jobs  " + "  ".join(counts))
    workers = [[worker["name"], worker["state"], worker.get("pid"), worker.get("job")] for worker in status["workers"]]
    if workers:
        console.print("")
        print_table(console, ["WORKER", "STATE", "PID", "JOB"], workers)
