"""`workerctl logs`: what a job printed, raw, to stdout."""

from __future__ import annotations

from ctl import exits
from ctl.console import STDOUT
from ctl.follow import Event, Output
from ctl.logs import pieces, tail_offset
from ctl.numbers import maybe_number_of
from ctl.targets import add_job, job_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ctl.client import Client
    from ctl.console import Console

DESCRIPTION = """\
Writes what a job printed to stdout, raw and whole: both streams of its last attempt, stdout first (their order is
kept only for jobs with --merge). With --json, each piece is a line."""
EXAMPLES = (
    "workerctl logs 42",
    "workerctl logs -f @last",
    "workerctl logs --tail 20 --stderr 42",
    "workerctl logs --attempt 1 --stdout 42 > first.txt",
)
STREAMS = ("stdout", "stderr")
_ATTEMPT_OVER = frozenset({"released", "retrying", "completed", "failed", "cancelled"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    add_job(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the job (or --attempt) has ended")
    parser.add_argument("--tail", metavar="N", help="only the last N lines of each stream")
    parser.add_argument("--attempt", metavar="N", help="of this attempt (else the last one)")
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--stdout", dest="stream", action="store_const", const="stdout", help="only stdout")
    one.add_argument("--stderr", dest="stream", action="store_const", const="stderr", help="only stderr")


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Writes the output."""
    job = job_id(client, options.job)
    tail = maybe_number_of("--tail", options.tail)
    wanted = maybe_number_of("--attempt", options.attempt, 1)
    streams = (options.stream,) if options.stream else STREAMS
    attempt, position, over, removed = wanted, dict.fromkeys(STREAMS, 0), True, False
    try:
        for stream in streams:
            offset = 0
            if tail is not None:
                offset, attempt = tail_offset(client.log_range, job, stream, attempt, tail)
            answer, position[stream] = _copy(client, console, job, stream, attempt, offset)
            removed = removed or bool(answer.get("removed"))
            # Both streams of one attempt: one that starts now must not mix in.
            attempt = answer["attempt"]
            over = over and bool(answer["eof"])
        if removed:
            console.complain(
                f"the output of attempt {attempt} was removed to make room (setting retention.outputs of the daemon)"
            )
        if options.follow and not (over and wanted is not None):
            _follow(client, console, job, streams, attempt, position, wanted)
    except KeyboardInterrupt:
        console.complain(f"detached; job {job} is not touched by that")
        return exits.INTERRUPTED
    return exits.OK


def _copy(
    client: Client, console: Console, job: int, stream: str, attempt: int | None, offset: int
) -> tuple[dict[str, Any], int]:
    """Copies from `offset` to the present end; returns the last answer and the next byte."""
    for answer, data in pieces(client.log_range, job, stream, attempt, offset):
        offset = answer["offset"] + len(data)
        if data:
            _write(console, Output(0, stream, answer["attempt"], answer["offset"], data))
    return answer, offset


def _follow(
    client: Client,
    console: Console,
    job: int,
    streams: tuple[str, ...],
    attempt: int | None,
    position: dict[str, int],
    wanted: int | None,
) -> None:
    """Copies what comes, until the job is final or the wanted attempt is over."""
    for item in client.follow(job, attempt=attempt, stdout=position["stdout"], stderr=position["stderr"]):
        if isinstance(item, Output):
            if wanted is not None and item.attempt != wanted:
                return
            if item.stream in streams:
                _write(console, item)
            position[item.stream] = item.offset + len(item.data)
        elif _ends(item, wanted):
            for stream in streams:
                _copy(client, console, job, stream, wanted, position[stream])
            return


def _ends(event: Event, wanted: int | None) -> bool:
    return wanted is not None and event.attempt == wanted and event.event in _ATTEMPT_OVER


def _write(console: Console, output: Output) -> None:
    if console.json:
        value = output.raw
        del value["cursor"]
        console.print_json(value)
    else:
        console.write(STDOUT, output.data)
