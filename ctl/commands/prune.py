"""`workerctl prune`: removes finished jobs that are old, or chosen."""

from __future__ import annotations

from ctl.errors import error_of
from ctl.removal import add_age, print_removal
from ctl.targets import add_filter, states_of
from supervisor.core.names import FINAL_STATES

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ctl.client import Client
    from ctl.console import Console

DESCRIPTION = """\
Removes finished jobs for good, with their output: those that are chosen, or, with nothing chosen, those that the
daemon's retention settings no longer keep (which it also removes by itself, each hour)."""
EXAMPLES = (
    "workerctl prune",
    "workerctl prune --dry-run",
    "workerctl prune --older-than 2d --state completed --queue reports",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    add_filter(parser)
    add_age(parser)


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Removes them."""
    states = states_of(options.state)
    unfinished = [state for state in states if state not in FINAL_STATES]
    if unfinished:
        raise error_of(
            "wrong_state",
            f"prune removes only jobs that are over, and {unfinished[0]} is not: see `workerctl delete --help`",
        )
    steps = client.prune(states, options.queue, options.older_than, dry_run=options.dry_run)
    return print_removal(console, steps, dry_run=options.dry_run, each=False)
