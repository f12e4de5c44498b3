"""`workerctl drain`: no more jobs are started; returns when nothing runs."""

from __future__ import annotations

from ctl import exits
from ctl.errors import invalid
from ctl.settling import until_drained
from ctl.submission import duration_s

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ctl.client import Client
    from ctl.console import Console

DESCRIPTION = """\
Starts no more jobs and waits until none runs; then a stop is immediate. The daemon stays up and takes submits, and
goes on draining until `workerctl drain --end` or its next start, also when this command ends early: after --timeout
(exit 124) or Ctrl-C."""
EXAMPLES = ("workerctl drain --timeout 10m && workerctl stop", "workerctl drain --end")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    parser.add_argument("--timeout", metavar="D", help="wait at most so long (5m, 1h30m; 0 does not wait)")
    parser.add_argument("--end", action="store_true", help="start jobs again")


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Drains, or ends it."""
    if options.timeout is not None:
        duration_s("timeout", options.timeout)
        if options.end:
            raise invalid("--end waits for nothing: it goes without --timeout")
    state = client.drain(on=not options.end)
    if not options.end:
        if state["running"] and not (console.quiet or console.json):
            running = state["running"]
            console.say("draining: 1 job runs" if running == 1 else f"draining: {running} jobs run")
        try:
            until_drained(client, options.timeout)
        except KeyboardInterrupt:
            console.complain("stopped waiting; the daemon goes on draining: `workerctl drain --end` ends that")
            return exits.INTERRUPTED
        state["running"] = 0
    if console.json:
        console.print_json(state)
    elif not console.quiet:
        console.print("jobs are started again" if options.end else "drained: nothing runs")
    return exits.OK
