"""`workerctl explain`: why a job does not run yet, or why it died, in words."""

from __future__ import annotations

from ctl.console import escape
from ctl.targets import add_job, job_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ctl.client import Client
    from ctl.console import Console

DESCRIPTION = """\
Says why a job does not run yet, where it runs, or why it ended: one sentence a line, what matters most first. Below
a sentence stands the option, command or setting that would change it. An option is for the next submit: a job keeps
those that it was submitted with."""
EXAMPLES = (
    "workerctl explain 42",
    "workerctl explain @last",
    "workerctl explain --json 42 | jq -r '.sentences[0].says'",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    add_job(parser)


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Prints the sentences."""
    explanation = client.explain(job_id(client, options.job))
    if console.json:
        console.print_json(explanation)
        return 0
    if console.quiet:
        console.print(str(explanation["job"]))
        return 0
    console.print(f"job {explanation['job']}  {console.paint(explanation['state'], escape(explanation['state']))}")
    for sentence in explanation["sentences"]:
        console.print(escape(sentence["says"]))
        if sentence.get("change"):
            console.print(f"    change: {escape(sentence['change'])}")
    return 0
