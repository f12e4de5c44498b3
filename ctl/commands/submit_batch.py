"""`workerctl submit --batch`: many jobs out of a file; prints the id of each, in their order."""

from __future__ import annotations

from ctl.commands.submit import prepared_arguments
from ctl.errors import invalid
from ctl.submission import submit_fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ctl.client import Client
    from ctl.console import Console
    from ctl.job import Submitted

_CONTENT = ("file", "main", "files", "stdin_file", "name")
MOST_SAID = 20
"""So many different remarks go to stderr."""


def submit_batch(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Submits them; the other options hold for each line that does not say otherwise."""
    if options.wait or options.follow:
        raise invalid("--batch goes with neither --wait nor --follow: pipe the ids into `xargs workerctl wait`")
    if options.batch == "-" and "-" in (options.file, options.stdin_file):
        raise invalid("standard input can be only one of --batch -, FILE - and --stdin -")
    said: set[str] = set()

    def tell(line: int, submitted: Submitted) -> None:
        if console.json:
            console.print_json(
                {"line": line, "job": submitted.id, "created": submitted.created, "existing": submitted.existing}
            )
        else:
            console.print(str(submitted.id))
        remarks = [f"warning: {warning}" for warning in submitted.warnings]
        if submitted.existing:
            remarks.append(f"job {submitted.id} has its unique key already")
        for remark in remarks:
            if remark not in said and len(said) < MOST_SAID:
                said.add(remark)
                console.say(f"line {line}: {remark}")

    client.submit_lines(options.batch, tell, _defaults(client, console, options))
    return 0


def _defaults(client: Client, console: Console, options: argparse.Namespace) -> dict[str, Any]:
    arguments = prepared_arguments(client, console, options)
    content = {name: arguments.pop(name) for name in _CONTENT if name in arguments}
    return {**content, **submit_fields(arguments)}
