"""`workerctl resume`: lets jobs of a queue start again."""

from __future__ import annotations

from ctl.queues import add_queues, print_pauses

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ctl.client import Client
    from ctl.console import Console

DESCRIPTION = """\
Lets jobs of these queues start again, or, where none is named, of all that are paused. While all queues are paused
together, they can only be resumed together. Without a name a drain of the daemon is ended, too."""
EXAMPLES = ("workerctl resume reports", "workerctl resume")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    add_queues(parser, "all that are paused")


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Resumes them."""
    return print_pauses(console, client.resume(*options.queues))
