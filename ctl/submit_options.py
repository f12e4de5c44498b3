"""The options of `submit` and `run`: everything that says how a script is to be run."""

from __future__ import annotations

from supervisor.core.names import RUNTIMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

_SAME_NAME = (
    "name",
    "main",
    "runtime",
    "type",
    "queue",
    "priority",
    "delay",
    "at",
    "timeout",
    "cpu",
    "memory",
    "processes",
    "open_files",
    "file_size",
    "disk",
    "output",
    "retries",
    "backoff",
    "on_loss",
    "network",
    "isolation",
    "merge",
    "unique",
    "on_conflict",
    "after",
    "webhook",
    "args",
)


def add_submit_options(parser: argparse.ArgumentParser, *, file_needed: bool = True) -> None:
    """FILE and its options. Values are checked when the submit is made ready, where Python callers' are, too."""
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs=None if file_needed else "?",
        help="a script, a folder, or - for standard input; ARGS after --",
    )
    what = parser.add_argument_group("what to run")
    what.add_argument("--runtime", choices=RUNTIMES, metavar="R", help=f"{', '.join(RUNTIMES)} (else: ending, `#!`)")
    what.add_argument("--type", metavar="T", help="a job for a handler, with --params; without FILE")
    what.add_argument("--params", metavar="JSON", help="what the job is given as JSON: the text, or @FILE")
    what.add_argument("--main", metavar="PATH", help="the script inside the folder FILE")
    what.add_argument("--file", action="append", dest="files", metavar="PATH", help="one more file beside the script")
    what.add_argument("--stdin", dest="stdin_file", metavar="FILE", help="what it reads (- for ours; else nothing)")
    what.add_argument("--env", action="append", metavar="K=V", help="a variable of its environment")
    what.add_argument("--env-file", action="append", metavar="FILE", help="variables, one K=V a line")
    what.add_argument("--merge", action="store_true", default=None, help="stderr into stdout, in order")
    where = parser.add_argument_group("when and where")
    where.add_argument("--name", metavar="NAME", help="what to call it (else the file's name)")
    where.add_argument("--queue", metavar="NAME", help="the queue (else: default)")
    where.add_argument("--priority", metavar="N", help="-1000 … 1000, greater runs first (else 0)")
    due = where.add_mutually_exclusive_group()
    due.add_argument("--delay", metavar="D", help="not before so long from now (90, 1h30m)")
    due.add_argument("--at", metavar="WHEN", help="not before (2026-01-31T08:00, 18:00, 'tomorrow 09:00', 'mon 9am')")
    where.add_argument(
        "--after",
        action="append",
        metavar="JOB[:COND]",
        help="not before JOB's end: ok if it completes (usual), any, fail if it fails; else it is cancelled",
    )
    where.add_argument("--unique", metavar="KEY", help="one unfinished job of this key a queue: else that one's id")
    where.add_argument(
        "--on-conflict", choices=("return", "refuse"), metavar="X", help="if KEY is taken: return that id, or refuse"
    )
    where.add_argument("--webhook", metavar="URL", help="POST there when it is over; the daemon must allow it")
    network = where.add_mutually_exclusive_group()
    network.add_argument("--network", action="store_true", default=None, help="let it use the network")
    network.add_argument("--no-network", dest="network", action="store_false", default=None, help="no network")
    where.add_argument("--isolation", metavar="LEVEL", help="run at this level of isolation, or refuse it")
    limits = parser.add_argument_group("limits (durations 90, 250ms, 1h30m; sizes 512M; `none` where allowed)")
    limits.add_argument("--timeout", metavar="D", help="wall-clock time of an attempt")
    limits.add_argument("--cpu", metavar="D", help="CPU time of all its processes")
    limits.add_argument("--memory", metavar="SIZE", help="memory of all its processes")
    limits.add_argument("--processes", metavar="N", help="processes and threads")
    limits.add_argument("--open-files", metavar="N", help="open files of a process")
    limits.add_argument("--file-size", metavar="SIZE", help="size of a file it writes")
    limits.add_argument("--disk", metavar="SIZE", help="all that it writes to its folder")
    limits.add_argument("--output", metavar="SIZE", help="what is kept of stdout, and of stderr")
    failures = parser.add_argument_group("when it fails")
    failures.add_argument("--retries", metavar="N", help="try so many times more")
    failures.add_argument("--backoff", metavar="BASE[,FACTOR[,CAP]]", help="wait before a retry, such as 2s,2,10m")
    failures.add_argument("--on-loss", choices=("requeue", "fail"), metavar="X", help="requeue, or fail: never twice")


def submit_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """What of it was said, as the arguments of `Client.submit`; raises InvalidRequest."""
    said = {name: getattr(options, name) for name in (*_SAME_NAME, "files", "stdin_file")}
    if options.env or options.env_file:
        from ctl.submission import environment

        said["env"] = environment(options.env or (), options.env_file or ())
    if options.file is not None:
        said["file"] = options.file
    arguments = {name: value for name, value in said.items() if value not in (None, [])}
    if options.params is not None:
        from ctl.submission import params_of

        arguments["params"] = params_of(options.params)
    return arguments
