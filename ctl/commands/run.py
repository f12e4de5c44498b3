"""`workerctl run`: queues a script, copies its output, exits with its exit code."""

from __future__ import annotations

from ctl.attach import submit_and_stay
from ctl.commands.submit import require_something, submit_script
from ctl.submit_options import add_submit_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ctl.client import Client
    from ctl.console import Console

DESCRIPTION = """\
Queues a script and stays: its stdout and stderr come byte for byte, the reason of a failure is the last line on
stderr. Exit code: the script's; 128+N if signal N ended it, also one of ours; 125 if there is none (refused, could
not be started, lost, no daemon); 130 after Ctrl-C, which cancels it."""
EXAMPLES = (
    "workerctl run hello.js",
    "workerctl run --timeout 5s --network fetch.py -- https://example.com",
    "workerctl run --stdin data.csv count.sh > counted.txt",
    "workerctl run --type words --params @text.json",
    "workerctl run --json work.js | jq .attempts",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    add_submit_options(parser, file_needed=False)


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Runs it."""
    require_something(options)
    return submit_and_stay(client, console, options, lambda: submit_script(client, console, options), output=True)
