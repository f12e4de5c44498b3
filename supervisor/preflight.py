"""`python -m supervisor --preflight`: whether this code could take over the daemon that is running with other code.

Runs beside that daemon, with its flags, environment and folders, and changes nothing of it: everything is imported,
the settings are read, what would be handed over is decoded, the database is looked at (an older one migrated as a
copy), and a whole daemon of this code runs for a moment, with one job of each kind in each pool. Raises SupervisorError
with what is wrong; says one line when nothing is.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import pwd
import sys
from collections.abc import MutableMapping

import supervisor
from supervisor import extra, log, store
from supervisor.arbiter import handover, kinds, proc
from supervisor.config import Flags, Settings, load
from supervisor.config.changes import compare
from supervisor.config.keys import MAX_WORKERS
from supervisor.core.errors import SupervisorError, unusable
from supervisor.paths import Paths, folders_of, prepare_folders
from supervisor.trial import run_trial


class Unfit(SupervisorError):
    """This code cannot take over."""


def preflight(flags: Flags, env: MutableMapping[str, str]) -> str:
    """One line for people. Raises SupervisorError."""
    left = _handed_over(env)
    import_everything()
    settings = load(flags, env)
    if left is not None:
        settings = compare(handover.settings_of(left), settings).settings
    extra.check(settings)
    log.configure("preflight", settings.log)
    # A defect's traceback is for whoever asked for the upgrade, not for the log.
    sys.excepthook = sys.__excepthook__
    paths = _folders(Paths(settings.state_dir, settings.socket), is_there=left is not None)
    schema = store.rehearse(paths.database)
    levels = [f"{pool} at {level}" for pool, level in run_trial(settings, _free_uid(settings)).items()]
    changed = f"{schema.version} -> {schema.becomes}" if schema.becomes != schema.version else str(schema.version)
    return f"worker-supervisor {supervisor.__version__} is fit: schema {changed}; a job ran in {', '.join(levels)}"


def _handed_over(env: MutableMapping[str, str]) -> handover.Handover | None:
    """What the running arbiter would leave, to see whether it is understood. None by hand, without a daemon."""
    text = env.pop(handover.HANDOVER_VARIABLE, None)
    return None if text is None else handover.read(int(text))


def _folders(paths: Paths, is_there: bool) -> Paths:
    """The daemon's folders. Those that only this code needs are made now, under the lock that the daemon holds."""
    as_root = os.geteuid() == 0
    try:
        return prepare_folders(paths, as_root) if is_there else folders_of(paths, as_root)
    except FileNotFoundError as error:
        raise Unfit(f"no daemon has run in {paths.state_dir} yet: there is nothing to take over") from error
    except OSError as error:
        raise unusable(f"{error.filename or paths.state_dir} cannot be used", error) from error


def import_everything() -> None:
    """Every module of the package, so that what is imported late cannot fail late.

    An extra that is not installed is no obstacle: what the daemon needs at its start is imported without mercy.
    """
    kinds.preload(kinds.KINDS)
    for module in pkgutil.walk_packages(supervisor.__path__, "supervisor.", onerror=_let_it_raise):
        if module.name.rpartition(".")[2] == "__main__":
            continue
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] == "supervisor":
                raise


def _let_it_raise(_: str) -> None:
    """`walk_packages` would swallow an ImportError of a package; the loop above meets it first."""


def _free_uid(settings: Settings) -> int:
    """From which on none is used: two jobs of one uid could reach each other."""
    if os.geteuid() != 0:
        return settings.slot_uid_base
    first = settings.slot_uid_base + sum(pool.replicas for pool in settings.pools.values())
    used = {proc.real_uid(pid) for pid in proc.processes()}
    wanted = len(settings.pools) + 1
    for uid in range(first, settings.slot_uid_base + MAX_WORKERS + 1):
        if not any(one in used or _has_name(one) for one in range(uid, uid + wanted)):
            return uid
    raise Unfit(f"no {wanted} uids from slot_uid_base {settings.slot_uid_base} on are free for the trial")


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
