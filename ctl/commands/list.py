"""`workerctl list`: jobs, newest first, as a table, an array or ids."""

from __future__ import annotations

from ctl.job_columns import JOBS
from ctl.numbers import maybe_number_of
from ctl.targets import add_filter, states_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ctl.client import Client
    from ctl.console import Console

USUAL_LIMIT = 50
EXAMPLES = (
    "workerctl list",
    "workerctl list --state failed --limit 10",
    "workerctl list --state queued,scheduled --queue slow -q",
    "workerctl list --all -o id,name,message --no-headers",
    "workerctl list -o wide --sort finished --reverse",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    add_filter(parser)
    most = parser.add_mutually_exclusive_group()
    most.add_argument("--limit", metavar="N", help=f"at most so many (default {USUAL_LIMIT})")
    most.add_argument("--all", action="store_true", help="all of them")
    JOBS.add_options(parser)


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Prints the list."""
    JOBS.check(options)
    limit = None if options.all else maybe_number_of("--limit", options.limit, 1) or USUAL_LIMIT
    jobs = JOBS.sorted(client.list(states_of(options.state), options.queue, limit=limit), options)
    if console.json:
        console.print_json([job.raw for job in jobs])
    elif console.quiet:
        for job in jobs:
            console.print(str(job.id))
    elif jobs:
        JOBS.print(console, jobs, options)
        if limit == len(jobs) and options.limit is None and console.err_is_terminal:
            console.say(f"these are the newest {limit}; --all shows all")
    else:
        console.say("no jobs")
    return 0
