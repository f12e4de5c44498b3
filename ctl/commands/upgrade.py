"""`workerctl upgrade`: the daemon goes over to new code without a pause."""

from __future__ import annotations

import os

from ctl import exits
from ctl.console import escape
from ctl.settling import add_wait, check_wait, until_upgraded

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ctl.client import Client
    from ctl.console import Console

DESCRIPTION = """\
Has the daemon go over to the code that is installed now, or to that of another interpreter (--python, such as the one
of a new virtual environment). First the new code is tried beside the running one: its modules, the settings, the
database and its migration, one job in a sandbox. Only if all that is well does the daemon become it, under the same
pid; else nothing is changed, and why is said (exit 6). Then the broker and the workers are replaced one by one, each
after what it does now: no job is interrupted, no submit refused. Returns when the new code has taken over;
`workerctl status` shows who is still of the old."""
EXAMPLES = (
    "pip install --upgrade workerctl && workerctl upgrade",
    "workerctl upgrade --python /opt/workerctl-0.2/bin/python --wait",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    parser.add_argument("--python", metavar="PATH", help="interpreter that has the new code (default: the present one)")
    add_wait(parser, "return when broker and workers are replaced too")


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Upgrades, and waits if asked to."""
    check_wait(options)
    # Not resolved: that an interpreter is a link is what makes it one of a virtual environment.
    python = None if options.python is None else os.path.abspath(options.python)
    done = client.upgrade(python)
    parked = until_upgraded(client, options.timeout) if options.wait else []
    for sentence in parked:
        console.complain(escape(sentence))
    if console.json:
        console.print_json(done)
    elif not console.quiet:
        for line in _lines(done, waited=options.wait and not parked):
            console.print(escape(line))
    return exits.NOT_COMPLETED if parked else exits.OK


def _lines(done: dict[str, Any], *, waited: bool) -> list[str]:
    lines = [f"version {done['before']} -> {done['version']}"]
    if waited:
        lines.append("broker and workers are replaced")
    else:
        lines.append("the broker is replaced now, the workers one at a time after their jobs")
    return lines
