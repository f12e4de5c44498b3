"""The daemon's settings: one TOML file, environment and flags, resolved once into frozen values."""

from __future__ import annotations

from supervisor.config.described import describe_settings
from supervisor.config.load import load
from supervisor.config.settings import CheckRule, Flags, HttpSettings, LogSettings, Pool, Settings, Webhook

__all__ = [
    "CheckRule",
    "Flags",
    "HttpSettings",
    "LogSettings",
    "Pool",
    "Settings",
    "Webhook",
    "describe_settings",
    "load",
]
