"""`workerctl retry`: queues finished jobs again."""

from __future__ import annotations

from ctl.targets import act_on_each, add_filter, add_job
from supervisor.core.names import CANCELLED, FAILED

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ctl.client import Client
    from ctl.console import Console

DESCRIPTION = """\
Queues jobs again that are completed, failed or cancelled, as they were submitted. Chosen by queue alone, it takes
the failed and the cancelled ones."""
EXAMPLES = ("workerctl retry 42", "workerctl retry --state failed --queue slow --dry-run")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    add_job(parser, many="*")
    add_filter(parser)
    parser.add_argument("--dry-run", action="store_true", help="only print which jobs, with their present state")


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Queues them; the exit code is that of the first failure."""
    return act_on_each(client, console, options, (FAILED, CANCELLED), client.retry, [])
