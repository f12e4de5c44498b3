"""The daemon's settings: one TOML file, environment and flags, resolved once into frozen values."""

from __future__ import annotations

from supervisor.config.keys import describe_settings
from supervisor.config.load import load
from supervisor.config.settings import CheckRule, Flags, LogSettings, Pool, Settings

__all__ = ["CheckRule", "Flags", "LogSettings", "Pool", "Settings", "describe_settings", "load"]
