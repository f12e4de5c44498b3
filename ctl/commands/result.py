"""`workerctl result`: the value that a job gave, as JSON."""

from __future__ import annotations

from ctl.targets import add_job, job_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ctl.client import Client
    from ctl.console import Console

EXAMPLES = ("workerctl result 42", "workerctl result @last | jq .rows")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    add_job(parser)


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Prints the result; `null` if there is none."""
    job = client.show(job_id(client, options.job))
    console.print_json(job.result)
    if job.result is None and not job.final:
        console.say(f"job {job.id} is {job.state}, its result may still come: `workerctl wait {job.id}`")
    return 0
