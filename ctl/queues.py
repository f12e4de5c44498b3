"""Queues on the command line: which are meant, and what is paused of them."""

from __future__ import annotations

from ctl.console import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ctl.console import Console

EVERY_QUEUE = "*"


def add_queues(parser: argparse.ArgumentParser, otherwise: str) -> None:
    """The argument QUEUE, any number of them."""
    parser.add_argument("queues", metavar="QUEUE", nargs="*", help=f"name of a queue (else {otherwise})")


def print_pauses(console: Console, answer: dict[str, Any]) -> int:
    """Prints what is paused now, one queue a line; says whether anything was changed. Returns the exit code."""
    if console.json:
        console.print_json(answer)
        return 0
    if answer.get("drain_ended"):
        console.say("the drain is over: jobs start again")
    elif not answer["changed"]:
        console.say("nothing had to be changed")
    for queue in answer["paused"]:
        shown = "all queues" if queue == EVERY_QUEUE and not console.quiet else escape(queue)
        console.print(shown if console.quiet else f"{shown}  {console.paint('paused')}")
    if not answer["paused"]:
        console.say("no queue is paused")
    return 0
