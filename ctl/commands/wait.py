"""`workerctl wait`: blocks until jobs are final; exit 0 only if all completed."""

from __future__ import annotations

from ctl import exits
from ctl.console import escape
from ctl.job import Job
from ctl.progress import WaitBar
from ctl.targets import add_job, job_ids

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ctl.client import Client
    from ctl.console import Console

DESCRIPTION = """\
Blocks until the jobs are final, and prints each as it becomes so. Exit code 0 if all completed, 1 if one did not,
124 if --timeout ran out first. Ctrl-C only ends the waiting."""
EXAMPLES = ("workerctl wait 42 43", "workerctl wait --timeout 5m @last", "workerctl wait --json $(workerctl list -q)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    add_job(parser, many="+")
    parser.add_argument("--timeout", metavar="D", help="wait at most so long (5m, 1h30m)")


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Waits."""
    jobs: list[Job] = []
    try:
        ids = job_ids(client, options.jobs)
        with WaitBar(console, client, ids) as bar:
            for job in client.wait_each(ids, options.timeout):
                jobs.append(job)
                print_final(console, job)
                bar.over(job.id)
    except KeyboardInterrupt:
        console.complain("stopped waiting; the jobs go on")
        return exits.INTERRUPTED
    return exits.of_jobs(jobs)


def print_final(console: Console, job: Job) -> None:
    """One line for a job that became final."""
    if console.json:
        console.print_json(job.raw)
    elif console.quiet:
        console.print(str(job.id))
    else:
        why = "" if job.ok else f"  {escape(job.reason or '')}: {escape(job.message or '')}".rstrip(": ")
        console.print(f"{job.id}  {console.paint(job.state)}{why}")
