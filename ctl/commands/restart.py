"""`workerctl restart [POOL]`: fresh workers, one at a time."""

from __future__ import annotations

from ctl import exits
from ctl.console import escape
from ctl.settling import add_wait, check_wait, until_renewed

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ctl.client import Client
    from ctl.console import Console

DESCRIPTION = """\
Replaces the workers of a pool, or of all pools, one at a time in each: it finishes its job, and the next one's turn
comes when its successor is there. No job is interrupted. Parked workers are released at once, their deaths
forgotten. Returns as soon as it has begun; `workerctl status` shows how far it is."""
EXAMPLES = ("workerctl restart", "workerctl restart scripts --wait --timeout 10m")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    parser.add_argument("pool", metavar="POOL", nargs="?", help="only this pool")
    add_wait(parser, "return when all are replaced")


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Begins it, and waits if asked to."""
    check_wait(options)
    names = client.restart(options.pool)
    parked = until_renewed(client, names, options.timeout) if options.wait else []
    for sentence in parked:
        console.complain(escape(sentence))
    if console.json:
        console.print_json({"workers": names})
    elif not console.quiet:
        what = "replaced" if options.wait and not parked else "to be replaced, one at a time"
        console.print(f"{what}: {escape(', '.join(names))}" if names else "there are no workers")
    return exits.NOT_COMPLETED if parked else exits.OK
