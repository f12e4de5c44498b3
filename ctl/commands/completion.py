"""`workerctl completion`: prints the completion script for a shell."""

from __future__ import annotations

from ctl.console import STDOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ctl.client import Client
    from ctl.console import Console

SHELL_NAMES = ("bash", "zsh", "fish")
EXAMPLES = (
    "source <(workerctl completion bash)",
    "workerctl completion zsh > ~/.zfunc/_workerctl",
    "workerctl completion fish | source",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    parser.add_argument("shell", metavar="SHELL", choices=SHELL_NAMES, help=", ".join(SHELL_NAMES))


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Prints the script; needs no daemon."""
    from ctl.shells import SHELLS

    script = SHELLS[options.shell]()
    if console.json:
        console.print_json({"shell": options.shell, "script": script})
    else:
        console.write(STDOUT, script.encode())
    return 0
