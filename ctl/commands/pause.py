"""`workerctl pause`: lets nothing more of a queue start."""

from __future__ import annotations

from ctl.queues import add_queues, print_pauses

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ctl.client import Client
    from ctl.console import Console

DESCRIPTION = """\
Lets nothing more of these queues start, or, where none is named, of any queue. What runs goes on, and jobs can still
be submitted. It lasts until `workerctl resume`, also through a restart of the daemon."""
EXAMPLES = ("workerctl pause reports", "workerctl pause")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    add_queues(parser, "all there are and will be")


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Pauses them."""
    return print_pauses(console, client.pause(*options.queues))
