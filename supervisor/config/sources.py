"""Where settings come from: the TOML file, WORKER_ variables, command line flags. Each gives checked entries."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Collection, Mapping
from typing import Final

from supervisor.config.entries import Entries, Path, dotted, nearest, read_entry, read_table
from supervisor.config.keys import DAEMON, LIMIT, LOG, POOL
from supervisor.config.settings import Flags
from supervisor.core.errors import SettingsError

PREFIX: Final = "WORKER_"
_WORKERS: Final = ("pools", "scripts", "replicas")
_ELSEWHERE: Final = frozenset({"WORKER_CONFIG", "WORKER_SUPERVISOR_MARK"})
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


def environment_entries(env: Mapping[str, str], pools: Collection[str]) -> Entries:
    """The entries of the WORKER_ variables; an empty one counts as unset. Raises SettingsError for unknown ones."""
    entries: Entries = {}
    by_variable = {_as_variable(name): name for name in pools}
    for variable in sorted(env):
        if not variable.startswith(PREFIX) or variable in _ELSEWHERE or variable.startswith(_CAMPAIGN):
            continue
        if not env[variable]:
            continue
        path = _path_of(variable, by_variable)
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
        path = tuple(key.strip().split("."))
        if path[0] == "pools" and len(path) > 2 and path[1] not in pools:
            raise _no_such_pool(source, path[1], pools)
        entries[path] = read_entry(path, value, source)
    for flag, (path, given) in named.items():
        if given is not None:
            entries[path] = read_entry(path, given, flag)
    return entries


def _check_owner(path: str, seen: os.stat_result) -> None:
    """As root, whoever may write the settings file is root: nobody else may."""
    if os.geteuid() != 0:
        return
    if seen.st_uid != 0 or stat.S_IMODE(seen.st_mode) & 0o022:
        raise SettingsError(
            f"{path}: a daemon of root reads only a file that root owns and nobody else may write; it belongs to "
            f"uid {seen.st_uid} and has mode {stat.S_IMODE(seen.st_mode):o}: chown root and chmod go-w it"
        )


def _path_of(variable: str, pools: Mapping[str, str]) -> Path:
    if variable == "WORKER_WORKERS":
        return _WORKERS
    parts = variable.removeprefix(PREFIX).split("__")
    if parts[0] == "POOLS" and len(parts) > 2:
        if parts[1] not in pools:
            raise _no_such_pool(variable, parts[1].lower(), pools.values())
        path = ("pools", pools[parts[1]], *(part.lower() for part in parts[2:]))
    else:
        path = tuple(part.lower() for part in parts)
    if variable not in _variables(pools):
        guess = nearest(variable, _variables(pools))
        raise SettingsError(
            f"{variable}: there is no such variable of the daemon"
            + (f"; the nearest is {guess}" if guess else "")
            + f" (variables that begin with {PREFIX} are settings: {PREFIX}KILL_GRACE is kill_grace, "
            f"{PREFIX}LOG__LEVEL is log.level)"
        )
    return path


def _variables(pools: Mapping[str, str]) -> list[str]:
    paths: list[Path] = [(name,) for name in DAEMON]
    paths += [("log", name) for name in LOG]
    for pool in pools:
        paths += [("pools", pool, name) for name in POOL]
        paths += [("pools", pool, table, name) for table in ("limits", "max") for name in LIMIT]
    settings = [PREFIX + "__".join(path).upper() for path in paths]
    return [*settings, "WORKER_WORKERS", *sorted(_ELSEWHERE)]


def _as_variable(pool: str) -> str:
    return pool.upper().replace("-", "_")


def _no_such_pool(source: str, name: str, pools: Collection[str]) -> SettingsError:
    return SettingsError(
        f"{source}: there is no pool {name!r}; the pools are {', '.join(sorted(pools))}. "
        f"A new one begins with a table [{dotted(('pools', name))}] in the settings file"
    )
