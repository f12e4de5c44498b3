"""`workerctl check-config`: reads a settings file as the daemon of this installation would, and says what is wrong."""

from __future__ import annotations

from ctl.errors import error_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ctl.client import Client
    from ctl.console import Console

DESCRIPTION = """\
Reads the settings as `worker-supervisor` would with the same options, imports each handler, and says ok or what is
wrong. Needs no daemon and changes nothing; `workerctl reload` has a running one read them again."""
EXAMPLES = (
    "workerctl check-config",
    "workerctl check-config --config ./config.toml --set pools.scripts.limits.memory=1G",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    parser.add_argument("--config", metavar="FILE", help="settings file (else WORKER_CONFIG, yours, the system's)")
    parser.add_argument(
        "--set", dest="sets", metavar="KEY=VALUE", action="append", default=[], help="any other setting (repeatable)"
    )


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Prints `ok`; raises `bad_settings` with the daemon's own words."""
    from ctl.checkup import run_supervisor, words_of

    words = ["check-config", *([] if options.config is None else ["--config", options.config])]
    done = run_supervisor([*words, *(word for one in options.sets for word in ("--set", one))], options.socket)
    if done.returncode != 0:
        raise error_of("bad_settings", words_of(done))
    if console.json:
        console.print_json({"status": "ok"})
    elif not console.quiet:
        console.print("ok")
    return 0
