"""Settings from their sources: flags over environment over file over defaults.

Each source gives entries that were checked key by key, so that an error names the source, the key and what is
legal; a later source replaces what an earlier one said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from supervisor.config.resolve import resolve
from supervisor.config.settings import Flags, Settings
from supervisor.config.sources import environment_entries, file_entries, flag_entries
from supervisor.paths import default_config

BUILT_IN_POOL: Final = "scripts"


def load(flags: Flags, env: Mapping[str, str]) -> Settings:
    """The settings of a daemon started with `flags` and `env`; raises SettingsError."""
    chosen = flags.config or env.get("WORKER_CONFIG")
    entries = file_entries(chosen or default_config(env), must_exist=bool(chosen))
    pools = sorted({BUILT_IN_POOL} | {path[1] for path in entries if path[0] == "pools"})
    entries |= environment_entries(env, pools, {path[1] for path in entries if path[0] == "queues"})
    entries |= flag_entries(flags, pools)
    return resolve(entries, pools, env)
