"""`workerctl cancel`: ends jobs, or takes them out of the queue."""

from __future__ import annotations

from ctl.targets import act_on_each, add_filter, add_job
from supervisor.core.names import QUEUED, RUNNING, SCHEDULED

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ctl.client import Client
    from ctl.console import Console

DESCRIPTION = """\
Cancels jobs. Answers when that is committed: nothing can run them any more, and a running one is being ended;
--wait returns when its last process is gone."""
EXAMPLES = (
    "workerctl cancel 42",
    "workerctl cancel --wait --reason 'wrong input' 42 43",
    "workerctl cancel --state queued --queue slow --dry-run",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    add_job(parser, many="*")
    add_filter(parser)
    parser.add_argument("--dry-run", action="store_true", help="only print which jobs, with their present state")
    parser.add_argument("--reason", metavar="TEXT", help="kept with the job")
    parser.add_argument("--wait", action="store_true", help="until their processes are gone")


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Cancels them; the exit code is that of the first failure."""
    done: list[int] = []
    code = act_on_each(
        client,
        console,
        options,
        (SCHEDULED, QUEUED, RUNNING),
        lambda job: client.cancel(job, options.reason),
        done,
        {RUNNING: "cancelling"},
    )
    if options.wait and done and not options.dry_run:
        for _ in client.wait_each(done):
            pass
    return code
