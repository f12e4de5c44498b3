"""Where settings come from: the TOML file, WORKER_ variables, command line flags. Each gives checked entries."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Collection, Mapping
from typing import Final

from supervisor.config.entries import Entries, Path, dotted, nearest, read_entry, read_table
from supervisor.config.http import HTTP
from supervisor.config.keys import DAEMON, LIMIT, LOG, POOL, QUEUE, RETENTION
from supervisor.config.settings import Flags
from supervisor.core.errors import SettingsError

PREFIX: Final = "WORKER_"
_WORKERS: Final = ("pools", "scripts", "replicas")
_ELSEWHERE: Final = frozenset({"WORKER_CONFIG", "WORKER_SUPERVISOR_MARK", "WORKER_SUPERVISOR_HANDOVER"})
"""Variables that are ours but no settings."""
_CAMPAIGN: Final = "WORKER_CAMPAIGN_"


def file_entries(path: str, must_exist: bool) -> Entries:
    """The entries of the TOML file at `path`; none if it need not exist and does not. Raises SettingsError."""
    try:
        with open(path, "rb") as file:
            _check_owner(path, os.fstat(file.fileno()))
            table = tomllib.load(file)
    except FileNotFoundError:
        if must_exist:
            raise SettingsError(f"{path}: there is no such settings file") from None
        return {}
    except OSError as error:
        raise SettingsError(f"{path}: cannot read the settings file: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"{path}: not a TOML file: {error}") from None
    return read_table(table, path)


def environment_entries(env: Mapping[str, str], pools: Collection[str], queues: Collection[str] = ()) -> Entries:
    """The entries of the WORKER_ variables; an empty one counts as unset. Raises SettingsError for unknown ones.

    Of pools, those that have a name here can be set; another queue than those is one in lower case.
    """
    entries: Entries = {}
    known = _known_variables(pools, queues)
    for variable in sorted(env):
        if not variable.startswith(PREFIX) or variable in _ELSEWHERE or variable.startswith(_CAMPAIGN):
            continue
        if not env[variable]:
            continue
        path = _path_of(variable, known, pools)
        entries[path] = read_entry(path, env[variable], variable)
    return entries


def flag_entries(flags: Flags, pools: Collection[str]) -> Entries:
    """The entries of the command line; raises SettingsError."""
    named: dict[str, tuple[Path, str | None]] = {
        "--state-dir": (("state_dir",), flags.state_dir),
        "--socket": (("socket",), flags.socket),
        "--workers": (_WORKERS, flags.workers),
        "--log-level": (("log", "level"), flags.log_level),
        "--log-format": (("log", "format"), flags.log_format),
        "--log-file": (("log", "file"), flags.log_file),
    }
    entries: Entries = {}
    for assignment in flags.sets:
        key, equals, value = assignment.partition("=")
        source = f"--set {assignment}"
        if not equals:
            raise SettingsError(f"{source}: write it as --set key=value, such as --set log.level=debug")
        path = _path_in(key.strip())
        if path[0] == "pools" and len(path) > 2 and path[1] not in pools:
            raise _no_such_pool(source, path[1], pools)
        entries[path] = read_entry(path, value, source)
    for flag, (path, given) in named.items():
        if given is not None:
            entries[path] = read_entry(path, given, flag)
    return entries


def _path_in(key: str) -> Path:
    """A key as it is written; a queue's name may hold dots, and be quoted."""
    parts = tuple(key.split("."))
    if parts[0] == "queues" and len(parts) > 2:
        return "queues", ".".join(parts[1:-1]).strip("\"'"), parts[-1]
    return parts


def _check_owner(path: str, seen: os.stat_result) -> None:
    """As root, whoever may write the settings file is root: nobody else may."""
    if os.geteuid() != 0:
        return
    if seen.st_uid != 0 or stat.S_IMODE(seen.st_mode) & 0o022:
        raise SettingsError(
            f"{path}: a daemon of root reads only a file that root owns and nobody else may write; it belongs to "
            f"uid {seen.st_uid} and has mode {stat.S_IMODE(seen.st_mode):o}: chown root and chmod go-w it"
        )


def _path_of(variable: str, known: Mapping[str, Path], pools: Collection[str]) -> Path:
    if variable in known:
        return known[variable]
    parts = variable.removeprefix(PREFIX).split("__")
    if parts[0] == "QUEUES" and len(parts) == 3 and parts[2].lower() in QUEUE:
        return "queues", parts[1].lower(), parts[2].lower()
    if parts[0] == "POOLS" and len(parts) > 2 and parts[1] not in map(_as_variable, pools):
        raise _no_such_pool(variable, parts[1].lower(), pools)
    guess = nearest(variable, [*known, *sorted(_ELSEWHERE)])
    raise SettingsError(
        f"{variable}: there is no such variable of the daemon"
        + (f"; the nearest is {guess}" if guess else "")
        + f" (variables that begin with {PREFIX} are settings: {PREFIX}KILL_GRACE is kill_grace, "
        f"{PREFIX}LOG__LEVEL is log.level)"
    )


def _known_variables(pools: Collection[str], queues: Collection[str]) -> dict[str, Path]:
    paths: list[Path] = [(name,) for name in DAEMON]
    paths += [("log", name) for name in LOG]
    paths += [("retention", name) for name in RETENTION]
    paths += [("http", name) for name in HTTP]
    for pool in pools:
        paths += [("pools", pool, name) for name in POOL]
        paths += [("pools", pool, table, name) for table in ("limits", "max") for name in LIMIT]
    paths += [("queues", queue, name) for queue in queues for name in QUEUE]
    return {"WORKER_WORKERS": _WORKERS} | {PREFIX + "__".join(map(_as_variable, path)): path for path in paths}


def _as_variable(name: str) -> str:
    return name.upper().replace("-", "_").replace(".", "_")


def _no_such_pool(source: str, name: str, pools: Collection[str]) -> SettingsError:
    return SettingsError(
        f"{source}: there is no pool {name!r}; the pools are {', '.join(sorted(pools))}. "
        f"A new one begins with a table [{dotted(('pools', name))}] in the settings file"
    )
