"""`workerctl delete`: removes jobs for good."""

from __future__ import annotations

from ctl.errors import invalid
from ctl.removal import add_age, print_removal
from ctl.targets import act_on_each, add_filter, add_job, states_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ctl.client import Client
    from ctl.console import Console

DESCRIPTION = """\
Removes jobs for good, with their output and all that is known of them. One that has not run never will, and jobs that
wait for it are cancelled. A running job must be cancelled first. Chosen by queue or age alone, it takes the jobs that
are over."""
EXAMPLES = (
    "workerctl delete 42",
    "workerctl delete --state failed --older-than 1d",
    "workerctl delete --state queued,scheduled --queue slow --dry-run",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    add_job(parser, many="*")
    add_filter(parser)
    add_age(parser)


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Removes them; the exit code is that of the first failure."""
    if options.jobs:
        if options.older_than is not None:
            raise invalid("--older-than chooses jobs: name them by their ids, or choose them")

        def remove(job: int) -> str:
            client.delete(job)
            return "deleted"

        return act_on_each(client, console, options, (), remove, [])
    if not (options.state or options.queue or options.older_than is not None):
        raise invalid("name jobs by their ids, or choose them with --state, --queue and --older-than")
    steps = client.prune(states_of(options.state), options.queue, options.older_than, dry_run=options.dry_run)
    return print_removal(console, steps, dry_run=options.dry_run, each=True)
