"""`workerctl reload`: the settings are read again and applied."""

from __future__ import annotations

from ctl.console import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ctl.client import Client
    from ctl.console import Console

DESCRIPTION = """\
Has the daemon read its settings again: the same file, flags and environment as at its start. What is wrong changes
nothing, and is said (exit 2). Running jobs are not touched; workers of changed pools are replaced one at a time after
their job; a few settings need a restart of the daemon and are named. SIGHUP does the same and answers in the log."""
EXAMPLES = ("worker-supervisor check-config && workerctl reload", "workerctl reload --json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb has no options of its own."""


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Reloads, and says what has changed."""
    done = client.reload()
    if console.json:
        console.print_json(done)
    elif not console.quiet:
        for line in _lines(done):
            console.print(escape(line))
    return 0


def _lines(done: dict[str, Any]) -> list[str]:
    pools = done["pools"]
    lines = [f"changed: {', '.join(done['changed'])}"] if done["changed"] else []
    lines += [f"pool {name} is new" for name in pools["added"]]
    lines += [f"pool {name} goes: its workers finish their jobs" for name in pools["removed"]]
    lines += [f"pool {one['pool']}: {one['before']} -> {one['replicas']} workers" for one in done["replicas"]]
    if done["workers"]:
        lines.append(f"to be replaced, one at a time: {', '.join(done['workers'])}")
    if done["needs_restart"]:
        lines.append(
            f"changed in the settings, but only a restart of the daemon applies it: {', '.join(done['needs_restart'])}"
        )
    return lines or ["nothing has changed"]
