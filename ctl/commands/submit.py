"""`workerctl submit`: queues a script and prints the id of its job."""

from __future__ import annotations

from ctl.submit_options import add_submit_options, submit_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

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
    "echo 'console.log(6 * 7)' | workerctl submit --wait -",
)
SHOWN_FINDINGS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    add_submit_options(parser)
    after = parser.add_argument_group("and then")
    after.add_argument("--wait", action="store_true", help="until it is final; exit as `run` does")
    after.add_argument("--follow", action="store_true", help="copy its output until it is final; exit as `run` does")


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Submits; stays if asked to."""
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
    """Submits what the options say; warnings go to stderr."""
    submitted = client.submit(**submit_arguments(options))
    for warning in submitted.warnings:
        console.say(f"warning: {warning}")
    say_findings(console, submitted)
    return submitted


def say_findings(console: Console, submitted: Submitted) -> None:
    """What the code check noticed, a line each."""
    for finding in submitted.findings[:SHOWN_FINDINGS]:
        console.say(f"check: line {finding['line']}: {finding['rule']}: {finding['message']}")
    more = len(submitted.findings) - SHOWN_FINDINGS
    if more > 0:
        console.say(f"check: … {more} more: `workerctl show {submitted.id}` has all")
