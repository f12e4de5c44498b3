"""`workerctl events`: what happened to jobs, workers and the daemon, and what happens from now on."""

from __future__ import annotations

from ctl import exits
from ctl.commands.follow import told
from ctl.console import escape
from ctl.errors import invalid
from ctl.moments import local
from ctl.numbers import maybe_number_of, number_of
from ctl.targets import job_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ctl.client import Client
    from ctl.console import Console
    from ctl.follow import Event

USUAL_LIMIT = 50
USUAL_PAST = 10
GREATEST_LIMIT = 10_000
DESCRIPTION = f"""\
Prints events, oldest first: the newest {USUAL_LIMIT}, or those after a cursor. -f begins with the newest {USUAL_PAST} and goes on until
Ctrl-C, through restarts of the broker, with neither gap nor repeat. Each event has a number, its cursor, which grows;
--after takes up where an earlier look ended. With --json each event is a line; -q prints the cursors alone."""
EXAMPLES = (
    "workerctl events",
    "workerctl events -f",
    "workerctl events --job 42",
    "workerctl events -f --json --after 913",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what happens from now on")
    parser.add_argument("--job", metavar="JOB", help="only of this job: an id, or @last for your newest")
    parser.add_argument("--after", metavar="CURSOR", help="only events with a greater cursor")
    parser.add_argument(
        "--limit",
        metavar="N",
        help=f"at most so many (default {USUAL_LIMIT}, with --after all); with -f: so many old ones to begin with "
        f"(default {USUAL_PAST})",
    )


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Prints them."""
    after = maybe_number_of("--after", options.after)
    limit = None if options.limit is None else number_of("--limit", options.limit, 0, GREATEST_LIMIT)
    if options.follow and after is not None and limit is not None:
        raise invalid("--limit says with how many old events -f begins, and so does --after: give one of the two")
    if after is None and limit is None:
        limit = USUAL_PAST if options.follow else USUAL_LIMIT
    job = None if options.job is None else job_id(client, options.job)
    try:
        for event in client.events(job=job, after=after, limit=limit, follow=options.follow):
            if console.json:
                console.print_json(event.raw)
            elif console.quiet:
                console.print(str(event.cursor))
            else:
                console.print(f"{local(event.at)}  {event.cursor:>6}  {escape(_words(event))}")
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    return exits.OK


def _words(event: Event) -> str:
    """As `follow` tells it, with what is not known when one watches everything."""
    more = [event.data.get(name) for name in ("name", "worker")] if event.job is not None else []
    return ", ".join([told(event), *(str(word) for word in more if word)])
