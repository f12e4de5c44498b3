"""`workerctl submit`: queues a script and prints the id of its job."""

from __future__ import annotations

from ctl.errors import invalid
from ctl.moments import distance, local
from ctl.submit_options import add_submit_options, submit_arguments
from ctl.targets import LAST, job_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ctl.client import Client
    from ctl.console import Console
    from ctl.job import Submitted

DESCRIPTION = """\
Queues a script; when the id is printed, the job is on the disk and nothing short of losing that loses it. The job
is a snapshot: editing the file later changes nothing."""
EXAMPLES = (
    "workerctl submit work.js",
    "workerctl submit --timeout 30s --memory 256M --retries 2 work.py -- --fast input.csv",
    "id=$(workerctl submit --delay 10m nightly.sh)",
    "workerctl submit --env-file .env --file lib/parse.js --follow work.js",
    "workerctl submit --main bin/start.js ./folder",
    "workerctl submit --at 'tomorrow 09:00' --unique nightly report.py",
    "workerctl submit --after 41 --after 42:any merge.py",
    "workerctl submit --batch jobs.jsonl --queue slow",
    "workerctl submit --type resize --params '{\"width\": 80}'",
    "echo 'console.log(6 * 7)' | workerctl submit --wait -",
)
SHOWN_FINDINGS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    add_submit_options(parser, file_needed=False)
    parser.add_argument("--batch", metavar="JOBS", help="many jobs: a file with one JSON object a line (- for ours)")
    after = parser.add_argument_group("and then")
    after.add_argument("--wait", action="store_true", help="until it is final; exit as `run` does")
    after.add_argument("--follow", action="store_true", help="copy its output until it is final; exit as `run` does")


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Submits; stays if asked to."""
    if options.batch is not None:
        from ctl.commands.submit_batch import submit_batch

        return submit_batch(client, console, options)
    if options.wait or options.follow:
        from ctl.attach import submit_and_stay

        def submit() -> Submitted:
            submitted = submit_script(client, console, options)
            if options.follow:
                console.say(f"job {submitted.id}")
            elif not console.json:
                console.print(str(submitted.id))
            return submitted

        return submit_and_stay(client, console, options, submit, output=options.follow)
    submitted = submit_script(client, console, options)
    if console.json:
        console.print_json(client.show(submitted).raw)
    elif console.quiet or not console.out_is_terminal:
        console.print(str(submitted.id))
    else:
        console.print(f"job {submitted.id}: `workerctl follow {submitted.id}` shows what it does")
    return 0


def submit_script(client: Client, console: Console, options: argparse.Namespace) -> Submitted:
    """Submits what the options say; warnings, and what `--at` and `--unique` came to, go to stderr."""
    require_something(options)
    if options.on_conflict is not None and options.unique is None:
        raise invalid("--on-conflict says what a taken key means: it goes with --unique KEY")
    arguments = prepared_arguments(client, console, options)
    submitted = client.submit(**arguments)
    if submitted.existing:
        console.say(f"job {submitted.id} has the unique key {options.unique!r} already: nothing new was queued")
    for warning in submitted.warnings:
        console.say(f"warning: {warning}")
    say_findings(console, submitted)
    return submitted


def require_something(options: argparse.Namespace) -> None:
    """Raises InvalidRequest where nothing says what to run."""
    if options.file is None and options.type is None:
        raise invalid(
            "name the script to run: a file, a folder, or - for standard input; or the --type of a handler's job\n"
            "see `workerctl submit --help`"
        )


def prepared_arguments(client: Client, console: Console, options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `Client.submit` with jobs and moments looked up; says which moment `--at` means."""
    arguments = submit_arguments(options)
    if "at" in arguments:
        from ctl.schedule import is_exact, moment_of

        words, at = arguments["at"], moment_of(arguments["at"])
        if not is_exact(words):
            console.say(f"--at means {local(at)} local time ({distance(at)})")
        arguments["at"] = at
    if "after" in arguments:
        arguments["after"] = [_with_id(client, word) for word in arguments["after"]]
    return arguments


def _with_id(client: Client, word: str) -> str:
    name, colon, condition = word.partition(":")
    return f"{job_id(client, LAST)}{colon}{condition}" if name == LAST else word


def say_findings(console: Console, submitted: Submitted) -> None:
    """What the code check noticed, a line each."""
    for finding in submitted.findings[:SHOWN_FINDINGS]:
        console.say(f"check: line {finding['line']}: {finding['rule']}: {finding['message']}")
    more = len(submitted.findings) - SHOWN_FINDINGS
    if more > 0:
        console.say(f"check: … {more} more: `workerctl show {submitted.id}` has all")
