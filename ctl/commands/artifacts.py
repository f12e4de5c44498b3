"""`workerctl artifacts`: the files that a job left in $JOB_OUTPUT_DIR, listed or brought here."""

from __future__ import annotations

from ctl.artifacts import named, save, save_file
from ctl.console import STDOUT, escape
from ctl.errors import invalid
from ctl.numbers import maybe_number_of
from ctl.table import print_table
from ctl.targets import add_job, job_id
from supervisor.core.units import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ctl.artifacts import Artifact, Artifacts
    from ctl.client import Client
    from ctl.console import Console

DESCRIPTION = """\
Lists the files that an attempt of a job left in its $JOB_OUTPUT_DIR, or brings them here. They are kept when the
attempt ends, also when it fails. Names are the job's: those that are not UTF-8 are shown with \\x escapes."""
EXAMPLES = (
    "workerctl artifacts 42",
    "workerctl artifacts @last --get report/index.html -o index.html",
    "workerctl artifacts @last --get data.csv -o - | head",
    "workerctl artifacts 42 --attempt 1 --all ./out",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    add_job(parser)
    parser.add_argument("--attempt", metavar="N", help="of this attempt (else the last one)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--get", metavar="NAME", help="this one alone, to where -o says")
    what.add_argument("--all", metavar="DIR", dest="folder", help="all of them, below this folder")
    parser.add_argument("-o", dest="target", metavar="FILE", help="where --get writes to (- for stdout)")
    parser.add_argument("--force", action="store_true", help="replace files that are there already")


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Lists, or brings."""
    _check(options)
    job = job_id(client, options.job)
    found = client.artifacts(job, maybe_number_of("--attempt", options.attempt, 1))
    if options.get is not None:
        _get(console, named(found, job, options.get), options)
    elif options.folder is not None:
        _print_saved(console, save(found, options.folder, force=options.force))
    else:
        _print(console, found)
    if not found:
        console.say(_why_none(job, found))
    return 0


def _check(options: argparse.Namespace) -> None:
    if (options.get is None) != (options.target is None):
        raise invalid("--get NAME and -o FILE go together (-o - writes to stdout)")
    if options.force and options.get is None and options.folder is None:
        raise invalid("--force goes with --get or --all")
    if options.json and options.target == "-":
        raise invalid("--json: stdout takes either JSON or the file; write the file elsewhere with -o FILE")


def _get(console: Console, artifact: Artifact, options: argparse.Namespace) -> None:
    if options.target == "-":
        for piece in artifact.pieces():
            console.write(STDOUT, piece)
        return
    save_file(artifact.pieces(), options.target, artifact.mode, force=options.force)
    _print_saved(console, [options.target])


def _print(console: Console, found: Artifacts) -> None:
    if console.json:
        console.print_json([artifact.raw for artifact in found])
    elif console.quiet:
        for artifact in found:
            console.print(escape(artifact.name))
    elif found:
        rows = [(one.index, format_size(one.size), f"{one.mode:04o}", one.name) for one in found]
        print_table(console, ("INDEX", "SIZE", "MODE", "NAME"), rows)


def _print_saved(console: Console, paths: list[str]) -> None:
    if console.json:
        console.print_json(paths)
    else:
        for path in paths:
            console.print(escape(path))


def _why_none(job: int, found: Artifacts) -> str:
    if found.attempt is None:
        return f"job {job} has not been started yet"
    if not found.ended:
        return f"attempt {found.attempt} of job {job} is running: its artifacts are kept when it has ended"
    if found.removed:
        return f"what attempt {found.attempt} of job {job} left was removed to make room (setting retention.outputs)"
    return f"attempt {found.attempt} of job {job} left no artifacts"
