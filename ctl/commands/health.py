"""`workerctl health`: exit 0 healthy, 1 degraded, 5 no daemon."""

from __future__ import annotations

from ctl.console import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ctl.client import Client
    from ctl.console import Console

HEALTHY = "healthy"
EXAMPLES = ("workerctl health", "workerctl health -q || systemctl restart worker-supervisor")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb has no options of its own."""


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Prints how the daemon is, and what is wrong."""
    health = client.health()
    if console.json:
        console.print_json(health)
    elif not console.quiet:
        console.print(console.paint(health["status"], escape(health["status"])))
        for reason in health["reasons"]:
            console.print(f"  {escape(reason)}")
    return 0 if health["status"] == HEALTHY else 1
