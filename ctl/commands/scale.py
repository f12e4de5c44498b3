"""`workerctl scale POOL N`: how many workers a pool has, while the daemon runs."""

from __future__ import annotations

from ctl import exits
from ctl.console import escape
from ctl.numbers import number_of
from ctl.settling import add_wait, check_wait, until_scaled

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ctl.client import Client
    from ctl.console import Console

MOST_WORKERS = 1024
DESCRIPTION = """\
Gives a pool N workers. New ones start at once; surplus ones, the highest numbers first, finish their job and take no
more. Holds until the next reload or start, which go by the settings."""
EXAMPLES = ("workerctl scale scripts 8", "workerctl scale --wait --timeout 1m scripts 0")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    parser.add_argument("pool", metavar="POOL", help="the pool's name, such as scripts")
    parser.add_argument("replicas", metavar="N", help=f"how many workers it is to have, 0 to {MOST_WORKERS}")
    add_wait(parser, "return when the pool has exactly so many")


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Scales it."""
    replicas = number_of("the number of workers", options.replicas, 0, MOST_WORKERS)
    check_wait(options)
    scaled = client.scale(options.pool, replicas)
    parked = []
    if options.wait:
        parked = until_scaled(client, scaled["pool"], scaled["replicas"], options.timeout)
    for sentence in parked:
        console.complain(escape(sentence))
    if console.json:
        console.print_json(scaled)
    elif not console.quiet:
        console.print(f"{escape(scaled['pool'])}: {scaled['before']} -> {scaled['replicas']} workers")
    return exits.NOT_COMPLETED if parked else exits.OK
