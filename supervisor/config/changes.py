"""What differs between two settings, and what each difference asks for. Pure.

Some keys hold for the daemon's whole life: they keep their old value until it is started again. Some are told to the
workers at their start: a difference means that these are replaced.
"""

from __future__ import annotations

from typing import Final

import msgspec

from supervisor.config.http import HTTP
from supervisor.config.keys import DAEMON, POOL
from supervisor.config.settings import Pool, Settings

FIXED: Final = ("state_dir", "socket", "socket_group", "slot_uid_base", "hang_timeout_s", "synchronous")
"""Fields that need a restart of the daemon."""
FIXED_OF_HTTP: Final = ("listen", "socket")
"""Those of HTTP: the sockets are bound once."""
TOLD_TO_WORKERS: Final = ("kill_grace_s", "log")
"""Fields of the daemon that each worker has from its start."""
NOT_TOLD_TO_WORKERS: Final = ("replicas", "limits", "maxima", "retries", "on_loss", "check", "queues")
"""Fields of a pool that only the broker looks at, at a submit or a lease; of every other one a worker has a copy.

A pool of handlers has runners that were started with its limits: there these count too.
"""


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """`settings` are those to go on with. The names are keys of the settings file, or names of pools.

    `renewed` are the pools whose workers are to be replaced, `replicas` the numbers before and after.
    """

    settings: Settings
    keys: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    renewed: tuple[str, ...] = ()
    replicas: dict[str, tuple[int, int]] = {}


def compare(old: Settings, new: Settings) -> Changes:
    """What it takes to go from `old` to `new` while the daemon runs."""
    fixed = {name: getattr(old, name) for name in FIXED}
    bound = {name: getattr(old.http, name) for name in FIXED_OF_HTTP}
    settings = msgspec.structs.replace(new, **fixed, http=msgspec.structs.replace(new.http, **bound))
    kept = [name for name in new.pools if name in old.pools]
    everybody = any(getattr(old, name) != getattr(settings, name) for name in TOLD_TO_WORKERS)
    return Changes(
        settings=settings,
        keys=tuple(_changed_keys(old, settings)),
        needs_restart=(
            *(_key(name) for name in FIXED if getattr(old, name) != getattr(new, name)),
            *(f"http.{name}" for name in FIXED_OF_HTTP if getattr(old.http, name) != getattr(new.http, name)),
        ),
        added=tuple(name for name in new.pools if name not in old.pools),
        removed=tuple(name for name in old.pools if name not in new.pools),
        renewed=tuple(name for name in kept if everybody or _told(old.pools[name]) != _told(new.pools[name])),
        replicas={
            name: (old.pools[name].replicas, new.pools[name].replicas)
            for name in kept
            if old.pools[name].replicas != new.pools[name].replicas
        },
    )


def _told(pool: Pool) -> dict[str, object]:
    whole = msgspec.structs.asdict(pool)
    silent = set(NOT_TOLD_TO_WORKERS) - ({"limits", "maxima"} if whole.get("handler") else set())
    return {name: value for name, value in whole.items() if name not in silent}


def _changed_keys(old: Settings, new: Settings) -> list[str]:
    keys = [
        _key(name)
        for name in Settings.__struct_fields__
        if name not in ("pools", "http", *FIXED) and getattr(old, name) != getattr(new, name)
    ]
    keys += [
        f"http.{key.name}" for key in HTTP.values() if getattr(old.http, key.field) != getattr(new.http, key.field)
    ]
    for name, pool in new.pools.items():
        if name in old.pools:
            before = msgspec.structs.asdict(old.pools[name])
            after = msgspec.structs.asdict(pool)
            keys += [f"pools.{name}.{_pool_key(field)}" for field in after if before[field] != after[field]]
    return keys


def _key(field: str) -> str:
    return next((key.name for key in DAEMON.values() if key.field == field), field)


def _pool_key(field: str) -> str:
    return "max" if field == "maxima" else next((key.name for key in POOL.values() if key.field == field), field)
