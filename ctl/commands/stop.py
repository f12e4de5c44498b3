"""`workerctl stop`: stops the daemon."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ctl.client import Client
    from ctl.console import Console

DESCRIPTION = """\
Stops the daemon. Running jobs may finish within its shutdown time-out; then they are ended and go back to the
queue, where the next start finds them. Returns as soon as the daemon has begun."""
EXAMPLES = ("workerctl stop",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb has no options of its own."""


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Stops it."""
    state = client.stop()
    if console.json:
        console.print_json({"state": state})
    elif not console.quiet:
        console.print(console.paint(state))
    return 0
