"""`workerctl doctor`: checks of the machine, the state folder and the daemon, with what to do about each."""

from __future__ import annotations

from ctl.console import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ctl.client import Client
    from ctl.console import Console

    Checks = list[dict[str, Any]]

DESCRIPTION = """\
Checks the daemon, this machine and the state folder: isolation, limits, storage, interpreters; and says what to do
about what is not well. Where no daemon runs, the machine is checked by itself. Exit code: 0 fine, 1 warnings,
2 failures."""
EXAMPLES = ("workerctl doctor", "workerctl doctor --json | jq -r '.checks[] | select(.status == \"fail\") | .name'")
EXIT_OF = {"ok": 0, "skipped": 0, "warn": 1, "fail": 2}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb has no options of its own."""


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Prints the checks; the exit code is that of the worst one."""
    from ctl.checkup import all_checks

    checks = all_checks(client, options.socket)
    worst = max(checks, key=lambda check: EXIT_OF.get(check["status"], 2))
    if console.json:
        console.print_json({"status": "ok" if worst["status"] == "skipped" else worst["status"], "checks": checks})
    elif not console.quiet:
        _print(console, checks)
    return EXIT_OF.get(worst["status"], 2)


def _print(console: Console, checks: Checks) -> None:
    name_width = max(len(check["name"]) for check in checks)
    status_width = max(len(status) for status in EXIT_OF)
    for check in checks:
        status = escape(check["status"])
        padded = console.paint(check["status"], status.ljust(status_width))
        console.print(f"{escape(check['name']).ljust(name_width)}  {padded}  {escape(check['found'])}")
        if check.get("remedy"):
            console.print(f"{'':{name_width + status_width + 4}}-> {escape(check['remedy'])}")
    numbers = {status: sum(check["status"] == status for check in checks) for status in EXIT_OF}
    console.say(", ".join(f"{number} {status}" for status, number in numbers.items() if number))
