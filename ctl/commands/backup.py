"""`workerctl backup`: writes a copy of the queue to a file."""

from __future__ import annotations

from ctl.console import escape
from supervisor.core.units import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ctl.client import Client
    from ctl.console import Console

DESCRIPTION = """\
Writes a copy of the queue to FILE, while the daemon works: a tar archive of its database and of the large scripts
and folders that its jobs need. Outputs and artifacts are not in it. FILE appears whole or not at all, for you alone
(mode 0600). To restore it, unpack it into an empty state folder and start a daemon there."""
EXAMPLES = ("workerctl backup queue.tar", "workerctl backup --force /srv/backup/queue.tar")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    parser.add_argument("file", metavar="FILE", help="where it goes")
    parser.add_argument("--force", action="store_true", help="replace a FILE that is there")


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Writes it."""
    size = client.backup(options.file, force=options.force)
    if console.json:
        console.print_json({"file": options.file, "size": size})
    elif not console.quiet:
        console.print(f"{escape(options.file)}  {format_size(size)}")
    return 0
