"""From entries to settings: defaults that depend on this machine and on other settings are decided here, once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from supervisor.config.checks import with_built_in
from supervisor.config.entries import CHECKS, WEBHOOKS, Entries
from supervisor.config.http import HTTP, check_webhooks
from supervisor.config.keys import DAEMON, LIMIT, LOG, MAX_WORKERS, POOL, QUEUE, RETENTION, Key
from supervisor.config.pools import check_kind, defaults_of
from supervisor.config.settings import HttpSettings, LogSettings, Pool, Settings
from supervisor.core.errors import RequestError, SettingsError
from supervisor.core.limits import LIMIT_NAMES, MIB, Limits, LimitsRequest
from supervisor.core.limits import resolve as check_limits
from supervisor.core.queues import EVERY_QUEUE, QueueCaps
from supervisor.core.retention import Retention
from supervisor.paths import check_socket_length, default_socket, default_state_dir

LEAST_HANG_TIMEOUT_S: Final = 1.0
_RAM_SHARE: Final = 0.8
_LEAST_MEMORY_BYTES: Final = 64 * MIB


def resolve(entries: Entries, pool_names: Iterable[str], env: Mapping[str, str]) -> Settings:
    """The settings that `entries` and this machine give; raises SettingsError."""
    replicas = {name: _replicas(entries, name) for name in pool_names}
    workers = sum(replicas.values())
    if workers > MAX_WORKERS:
        raise SettingsError(f"{workers} workers in all pools together are more than {MAX_WORKERS}")
    values = {
        "state_dir": default_state_dir(env),
        "socket": default_socket(env),
        **_fields(entries, (), DAEMON),
        "log": LogSettings(**_fields(entries, ("log",), LOG)),
        "checks": with_built_in(entries[CHECKS].value if CHECKS in entries else ()),  # type: ignore[arg-type]
        "retention": Retention(**_fields(entries, ("retention",), RETENTION)),
        "queues": _queues(entries),
        "http": HttpSettings(**_fields(entries, ("http",), HTTP)),
        "webhooks": entries[WEBHOOKS].value if WEBHOOKS in entries else (),
        "pools": {name: _pool(entries, name, replicas[name], _memory_bytes(workers)) for name in replicas},
    }
    settings = msgspec.convert(values, Settings)
    if settings.hang_timeout_s < LEAST_HANG_TIMEOUT_S:
        raise SettingsError(f"hang_timeout is {settings.hang_timeout_s:g}s; it must be at least 1s, usual is 30s")
    check_webhooks(settings.http, settings.webhooks)
    check_socket_length(settings.socket)
    return settings


def _pool(entries: Entries, name: str, replicas: int, memory_bytes: int) -> Pool:
    at = ("pools", name)
    maxima = {**dict.fromkeys(LIMIT_NAMES), **_fields(entries, (*at, "max"), LIMIT)}
    limits = {"memory_bytes": memory_bytes, **_fields(entries, (*at, "limits"), LIMIT)}
    limits.setdefault("cpu_s", _smaller(limits.get("wall_s", Limits().wall_s), maxima["wall_s"]))
    values = {
        **defaults_of(entries, name),
        **_fields(entries, at, POOL),
        "name": name,
        "replicas": replicas,
        "limits": _at_most(msgspec.structs.replace(Limits(), **limits), maxima),
        "maxima": msgspec.convert(maxima, Limits),
    }
    pool = msgspec.convert(values, Pool)
    check_kind(entries, pool)
    _check(pool)
    return pool


def _queues(entries: Entries) -> dict[str, QueueCaps]:
    """The caps of each queue that has a table; the keys that it does not name are those of `"*"`."""
    usual = _fields(entries, ("queues", EVERY_QUEUE), QUEUE)
    names = sorted({path[1] for path in entries if path[0] == "queues"})
    return {name: QueueCaps(**{**usual, **_fields(entries, ("queues", name), QUEUE)}) for name in names}


def _fields(entries: Entries, at: tuple[str, ...], keys: Mapping[str, Key]) -> dict[str, Any]:
    return {key.field: entries[(*at, key.name)].value for key in keys.values() if (*at, key.name) in entries}


def _replicas(entries: Entries, pool: str) -> int:
    entry = entries.get(("pools", pool, "replicas"))
    if entry is not None:
        return msgspec.convert(entry.value, int)
    return max(2, len(os.sched_getaffinity(0))) if pool == "scripts" else 1


def _memory_bytes(workers: int) -> int:
    """The default memory limit: what every worker may take at once without filling the machine."""
    usual = Limits().memory_bytes or 0
    ram_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    share = int(ram_bytes * _RAM_SHARE) // max(workers, 1)
    return usual if share >= usual else max(_LEAST_MEMORY_BYTES, share // MIB * MIB)


def _at_most(limits: Limits, maxima: Mapping[str, float | None]) -> Limits:
    lowered = {name: _smaller(getattr(limits, name), maxima[name]) for name in LIMIT_NAMES}
    return msgspec.convert(lowered, Limits)


def _smaller(value: float | None, maximum: float | None) -> float | None:
    if value is None or maximum is None:
        return maximum if value is None else value
    return min(value, maximum)


def _check(pool: Pool) -> None:
    """The floors of a submit hold for defaults too: a default that no job can start with is an error now, not later."""
    everything = msgspec.convert(msgspec.structs.asdict(pool.limits), LimitsRequest)
    for job_type in pool.types:
        try:
            check_limits(everything, pool.limits, pool.maxima, job_type)
        except RequestError as error:
            raise SettingsError(f"pool {pool.name}: {error.message}") from None
