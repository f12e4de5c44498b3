"""The command `worker-supervisor`: read the settings, then become the arbiter in the foreground.

Nothing but the standard library is imported before the check that the package `supervisor` is this one.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from importlib.metadata import packages_distributions
from typing import TYPE_CHECKING, Final

import supervisor

if TYPE_CHECKING:
    from supervisor.config import Flags, Pool, Settings
    from supervisor.paths import Paths

_PROGRAM: Final = "worker-supervisor"
_USAGE_ERROR: Final = 2
_HANDOVER: Final = "WORKER_SUPERVISOR_HANDOVER"
"""`handover.HANDOVER_VARIABLE`, known before anything is imported."""

_EPILOG: Final = """\
examples:
  worker-supervisor                                  serve this user's queue in the foreground
  worker-supervisor --state-dir ./state --socket ./state/control.sock --workers 4
  worker-supervisor --set pools.scripts.limits.memory=1G
  worker-supervisor check-config --config /etc/worker-supervisor/config.toml
  worker-supervisor doctor                           check this machine before the first start

exit codes: 0 stopped, 2 bad settings, 3 another one holds the state folder,
            75 storage error (start it again), 78 newer or broken database;
            doctor: 0 fine, 1 warnings, 2 failures, 3 a daemon runs (use workerctl doctor)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command; serves until stopped unless asked for less."""
    if (complaint := _wrong_package()) is not None:
        return _complain(complaint, _USAGE_ERROR)
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.preflight and arguments.command is not None:
        parser.error("--preflight goes with no command")
    if arguments.json and arguments.command != "doctor":
        parser.error("--json goes with doctor")
    from supervisor.core.errors import SupervisorError

    try:
        return (_preflight if arguments.preflight else _COMMANDS[arguments.command])(arguments)
    except SupervisorError as error:
        return _complain(str(error), error.exit_status)
    except KeyboardInterrupt:
        # Only before the arbiter has installed its own handlers: nothing has been started yet.
        return _complain("interrupted while starting", 130)


def _serve(arguments: argparse.Namespace) -> int:
    _stay_hidden()
    from supervisor import log
    from supervisor.arbiter import handover
    from supervisor.arbiter.main import run
    from supervisor.config import load
    from supervisor.core.errors import SettingsError

    _fill_standard_fds()
    left = handover.take(os.environ)
    # A reload reads the settings as this start does.
    reread = partial(load, _flags(arguments), dict(os.environ))
    try:
        settings = reread()
        log.configure("arbiter", settings.log)
    except SettingsError as error:
        if left is None:
            raise
        # They were good a moment ago, when this code was checked: nobody's job ends for that.
        settings = handover.settings_of(left)
        _log_as_before(settings)
        print(f"{_PROGRAM}: going on with the settings of before the upgrade: {error}", file=sys.stderr)
    return run(settings, reread, left=left)


def _stay_hidden() -> None:
    """Jobs run while this program takes over from another: the exec has opened our memory to those of our user."""
    if _HANDOVER in os.environ:
        from supervisor.arbiter import prctl

        prctl.hide_memory()


def _log_as_before(settings: Settings) -> None:
    """To stderr if even that cannot be had."""
    from supervisor import log
    from supervisor.config import LogSettings
    from supervisor.core.errors import SettingsError

    try:
        log.configure("arbiter", settings.log)
    except SettingsError:
        log.configure("arbiter", LogSettings())


def _preflight(arguments: argparse.Namespace) -> int:
    from supervisor.preflight import preflight

    print(preflight(_flags(arguments), os.environ))
    return 0


def _check_config(arguments: argparse.Namespace) -> int:
    from supervisor import extra
    from supervisor.config import load

    settings = load(_flags(arguments), os.environ)
    extra.check(settings)
    broken = [
        f"pool {name}: the handler {pool.handler} cannot be had: {why}"
        for name, pool in settings.pools.items()
        if (why := _handler_fault(pool))
    ]
    for sentence in broken:
        _complain(sentence, _USAGE_ERROR)
    if broken:
        return _USAGE_ERROR
    print("ok")
    return 0


def _handler_fault(pool: Pool) -> str | None:
    """Why a pool's handler cannot be imported, which is tried in a process of its own."""
    from supervisor.runtime.handler import try_handler

    return None if pool.handler is None else try_handler(pool)


def _doctor(arguments: argparse.Namespace) -> int:
    from supervisor.config import load
    from supervisor.doctor.check import exit_status, print_checks
    from supervisor.doctor.offline import offline_checks
    from supervisor.paths import Paths

    settings = load(_flags(arguments), os.environ)
    paths = Paths(settings.state_dir, settings.socket)
    lock_fd = _lock_of_nobody(paths)
    try:
        checks = offline_checks(settings, paths)
    finally:
        if lock_fd is not None:
            os.close(lock_fd)
    print_checks(checks, as_json=arguments.json)
    return exit_status(checks)


def _lock_of_nobody(paths: Paths) -> int | None:
    """The state folder's lock; None where no daemon of this user ever was. Raises InstanceHeld."""
    from supervisor.arbiter import lock
    from supervisor.core.errors import InstanceHeld

    # A lock that is made here would make a strange folder look like one of ours.
    if not os.path.lexists(paths.lock) or os.stat(paths.state_dir).st_uid != os.geteuid():
        return None
    try:
        return lock.acquire(paths.lock)
    except InstanceHeld as held:
        raise InstanceHeld(f"{held}: ask it, with `workerctl doctor`") from None


def _flags(arguments: argparse.Namespace) -> Flags:
    from supervisor.config import Flags

    return Flags(
        config=arguments.config,
        state_dir=arguments.state_dir,
        socket=arguments.socket,
        workers=arguments.workers,
        log_level=arguments.log_level,
        log_format=arguments.log_format,
        log_file=arguments.log_file,
        sets=tuple(arguments.sets),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Runs jobs from a durable queue in isolated workers, in the foreground, until stopped.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=["check-config", "doctor"],
        help="check-config: only check the settings and say ok; doctor: check this machine while no daemon runs",
    )
    parser.add_argument("--config", metavar="FILE", help="settings file (WORKER_CONFIG)")
    parser.add_argument("--state-dir", metavar="DIR", help="folder of the queue (WORKER_STATE_DIR)")
    parser.add_argument("--socket", metavar="PATH", help="control socket (WORKER_SOCKET)")
    parser.add_argument("--workers", metavar="N", help="workers of the pool scripts (WORKER_WORKERS)")
    parser.add_argument("--log-level", metavar="LEVEL", help="debug, info, warning or error")
    parser.add_argument("--log-format", metavar="FORMAT", help="auto, text or json")
    parser.add_argument("--log-file", metavar="FILE", help="append to FILE instead of stderr")
    parser.add_argument(
        "--set", dest="sets", metavar="KEY=VALUE", action="append", default=[], help="any other setting (repeatable)"
    )
    parser.add_argument("--json", action="store_true", help="doctor's checks as one line of JSON")
    # What `workerctl upgrade` has the new code do: see docs/OPERATIONS.md.
    parser.add_argument("--preflight", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--version", action="version", version=f"{_PROGRAM} {getattr(supervisor, '__version__', '?')}")
    return parser


_COMMANDS: Final = {None: _serve, "check-config": _check_config, "doctor": _doctor}


def _wrong_package() -> str | None:
    """Another distribution on PyPI installs a package of the same name; together they overwrite each other."""
    if getattr(supervisor, "IS_WORKERCTL", False):
        return None
    others = sorted(set(packages_distributions().get("supervisor", ())) - {"workerctl"}) or ["another distribution"]
    return (
        f"the Python package `supervisor` at {getattr(supervisor, '__file__', None) or '?'} belongs to "
        f"{', '.join(others)}, not to workerctl. The two cannot share one environment: install workerctl in its own "
        "virtual environment"
    )


def _fill_standard_fds() -> None:
    """A descriptor 0, 1 or 2 that was closed would be given to the lock or a socket, and be written to as a log."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)


def _complain(sentence: str, exit_code: int) -> int:
    print(f"{_PROGRAM}: {sentence}", file=sys.stderr)
    return exit_code
