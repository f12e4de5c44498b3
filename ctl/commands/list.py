"""`workerctl list`: jobs, newest first, as a table, an array or ids."""

from __future__ import annotations

from ctl.columns import COLUMNS, chosen_columns, print_jobs
from ctl.errors import invalid
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
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    add_filter(parser)
    parser.add_argument("--limit", metavar="N", help=f"at most so many (default {USUAL_LIMIT})")
    parser.add_argument("--all", action="store_true", help="all of them")
    parser.add_argument("-o", dest="columns", metavar="COLUMNS", help=f"which columns: {','.join(COLUMNS)}")
    parser.add_argument("--no-headers", action="store_true", help="without the line of headers")


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Prints the list."""
    columns = chosen_columns(options.columns)
    limit = None if options.all else _limit(options.limit)
    jobs = client.list(states_of(options.state), options.queue, limit=limit)
    if console.json:
        console.print_json([job.raw for job in jobs])
    elif console.quiet:
        for job in jobs:
            console.print(str(job.id))
    elif jobs:
        print_jobs(console, jobs, columns, headers=not options.no_headers)
        if limit == len(jobs) and options.limit is None and console.err_is_terminal:
            console.say(f"these are the newest {limit}; --all shows all")
    else:
        console.say("no jobs")
    return 0


def _limit(text: str | None) -> int:
    if text is None:
        return USUAL_LIMIT
    if not text.isdecimal() or int(text) < 1:
        raise invalid(f"--limit: {text!r} is not a number of jobs; --all shows all")
    return int(text)
