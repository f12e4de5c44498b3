"""`workerctl top`: what the daemon does now, live: a screen on a terminal, else text again and again."""

from __future__ import annotations

import time

from ctl import exits
from ctl.errors import error_of, invalid
from ctl.submission import duration_s
from ctl.top.plain import print_snapshot
from ctl.top.snapshot import look

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ctl.client import Client
    from ctl.console import Console

USUAL_INTERVAL = "1"
SHORTEST_INTERVAL_S = 0.25
DESCRIPTION = """\
Shows workers, queues and jobs as they are now: what runs, for how long, how far it is, and what it uses of its limits.
On a terminal it is a screen of its own, which follows events and outlives a restart of the broker. Its keys: the arrows
choose a job, f follows its output, c cancels it, r runs it again, / filters the jobs, q leaves. Elsewhere, and with
--once, it is text; with --json, an object a line. CPU time and memory are known of jobs that run for a second or more."""
EXAMPLES = (
    "workerctl top",
    "workerctl top --once",
    "workerctl top --interval 10s >> top.log",
    "workerctl top --once --json",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    parser.add_argument("--once", action="store_true", help="one look, as text")
    parser.add_argument(
        "--interval",
        metavar="D",
        default=USUAL_INTERVAL,
        help=f"look again so often while something runs, or print so often (default {USUAL_INTERVAL} s)",
    )


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Shows it."""
    interval_s = duration_s("interval", options.interval)
    if interval_s < SHORTEST_INTERVAL_S:
        raise invalid(f"--interval: {options.interval!r} is too short; the shortest is {SHORTEST_INTERVAL_S:g} s")
    if console.out_is_terminal and not (options.once or console.json or console.quiet):
        return _live(client, console, interval_s)
    return _text(client, console, interval_s, once=options.once)


def _live(client: Client, console: Console, interval_s: float) -> int:
    try:
        from ctl.top.screen import watch
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "rich":
            raise
        raise error_of(
            "unsupported",
            "the live screen needs Rich, which is not installed: `pip install 'workerctl[tui]'`\n"
            "without it there is `workerctl top --once`, or `workerctl top | cat`",
        ) from None
    return watch(client, console, look(client), interval_s)


def _text(client: Client, console: Console, interval_s: float, *, once: bool) -> int:
    began = False
    try:
        while True:
            seen = look(client)
            if console.json:
                console.print_json(seen.to_json())
            elif console.quiet:
                for job in seen.running:
                    console.print(str(job.id))
            else:
                if began:
                    console.print("")
                print_snapshot(console, seen)
            if once:
                return exits.OK
            began = True
            time.sleep(interval_s)
    except KeyboardInterrupt:
        return exits.INTERRUPTED
