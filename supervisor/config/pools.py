"""Two kinds of pool, for scripts and for a handler: which keys go with which, and what differs in their defaults.

A key that would do nothing is refused: whoever wrote `isolation` beside a handler believes in a sandbox that is not there.
"""

from __future__ import annotations

import os
import pwd
from typing import Any, Final

from supervisor.config.entries import Entries, Entry, dotted
from supervisor.config.settings import JOB_TYPES, Pool
from supervisor.core.errors import SettingsError

HANDLER_RETRIES: Final = 3
OF_HANDLERS: Final = ("python_path", "mode", "user", "lease_batch")
OF_SCRIPTS: Final = (
    "isolation", "isolation_minimum", "network", "env_pass", "node", "modules", "work", "artifacts", "artifact_bytes", "check",
    "prestart",
)  # fmt: skip


def defaults_of(entries: Entries, name: str) -> dict[str, Any]:
    """What a pool has where its table says nothing and it is not as `Pool` has it."""
    if ("pools", name, "handler") not in entries:
        return {}
    return {"types": (), "retries": HANDLER_RETRIES}


def check_kind(entries: Entries, pool: Pool) -> None:
    """Raises SettingsError for a key or a type that does not go with this kind of pool."""
    if pool.handler is None:
        for entry in _said(entries, pool, ("lease_batch",)):
            raise SettingsError(
                f"{_where(entry)} is for tiny jobs of a handler, and pool {pool.name} is for scripts: a script takes longer "
                "than its lease does, and those that a worker keeps for later could begin elsewhere; take it out"
            )
        for entry in _said(entries, pool, OF_HANDLERS):
            raise SettingsError(f"{_where(entry)} goes with a handler: set pools.{pool.name}.handler, or take it out")
        _check_script_types(entries, pool)
        return
    for entry in _said(entries, pool, OF_SCRIPTS):
        raise SettingsError(
            f"{_where(entry)} is for scripts: a handler is your own code and runs unsandboxed, in your own environment; "
            "take it out"
        )
    for kind in pool.types:
        if kind in JOB_TYPES:
            raise SettingsError(
                f"pool {pool.name}: {kind} is a type of scripts; the jobs of a handler need another name than "
                f"{', '.join(JOB_TYPES)}"
            )
    _check_user(pool)


def _check_script_types(entries: Entries, pool: Pool) -> None:
    if not set(pool.types) <= set(JOB_TYPES):
        entry = entries["pools", pool.name, "types"]
        raise SettingsError(
            f"{_where(entry)} = {list(pool.types)!r}: it must be a list of job types out of {', '.join(JOB_TYPES)}; "
            "other names are for pools with a handler"
        )


def _check_user(pool: Pool) -> None:
    if pool.user is None:
        return
    try:
        uid = pwd.getpwnam(pool.user).pw_uid
    except KeyError:
        raise SettingsError(f"pools.{pool.name}.user: there is no user {pool.user!r} on this machine") from None
    if os.geteuid() not in (0, uid):
        raise SettingsError(f"pools.{pool.name}.user: only a daemon of root can run a handler as {pool.user}")


def _said(entries: Entries, pool: Pool, names: tuple[str, ...]) -> list[Entry]:
    return [entries[at] for name in names if (at := ("pools", pool.name, name)) in entries]


def _where(entry: Entry) -> str:
    return f"{entry.source}: {dotted(entry.path)}"
