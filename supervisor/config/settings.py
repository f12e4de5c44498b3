"""What the settings are once every source has been read: frozen values that nobody looks up a default for again."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from supervisor.core.limits import LIMIT_NAMES, MIB, Limits
from supervisor.core.names import RUNTIMES
from supervisor.core.queues import QueueCaps
from supervisor.core.retention import Retention
from supervisor.core.retry import RETRYABLE

NO_MAXIMA: Final = Limits(**dict.fromkeys(LIMIT_NAMES))
"""Maxima of a pool that sets none."""

JOB_TYPES: Final = tuple(RUNTIMES)


class LogSettings(msgspec.Struct, frozen=True):
    """`format` auto is text on a terminal and JSON elsewhere; `file` None is stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"
    file: str | None = None


class Pool(msgspec.Struct, frozen=True):
    """A group of equal worker slots. `queues` empty means all of them.

    With a `handler`, `types` may be empty: then its class says which it takes.
    """

    name: str
    replicas: int
    types: tuple[str, ...] = JOB_TYPES
    queues: tuple[str, ...] = ()
    isolation: str = "auto"
    isolation_minimum: str = "plain"
    network: Literal["never", "asked", "always"] = "asked"
    limits: Limits = Limits()
    maxima: Limits = NO_MAXIMA
    retries: int = 0
    retry_on: tuple[str, ...] = RETRYABLE
    on_loss: Literal["requeue", "fail"] = "requeue"
    env_pass: tuple[str, ...] = ()
    node: str | None = None
    python: str | None = None
    modules: str | None = None
    work: Literal["tmpfs", "disk"] = "tmpfs"
    artifacts: int = 1000
    artifact_bytes: int = 256 * MIB
    check: Literal["off", "warn", "block"] = "warn"
    prestart: int = 1
    handler: str | None = None
    python_path: tuple[str, ...] = ()
    mode: Literal["resident", "fresh"] = "resident"
    user: str | None = None
    lease_batch: int = 1
    max_jobs: int | None = None
    max_rss_bytes: int | None = None
    max_age_s: float | None = None


class HttpSettings(msgspec.Struct, frozen=True):
    """Where HTTP is served: `listen` None is nowhere. `rate` is requests a second of one address, None any number."""

    listen: str | None = None
    socket: str | None = None
    hosts: tuple[str, ...] = ()
    max_body_bytes: int = 16 * MIB
    rate: float | None = 100.0
    heartbeat_s: float = 15.0
    webhook_urls: tuple[str, ...] = ()


class Webhook(msgspec.Struct, frozen=True):
    """Where a POST goes when a job has come to one of the states `on`; without a `secret` the daemon's own signs it."""

    url: str
    secret: str | None = None
    on: tuple[str, ...] = ()


class CheckRule(msgspec.Struct, frozen=True):
    """One rule of the code check: `message` is said of each line of a `runtime` script in which `pattern` is found."""

    runtime: str
    rule: str
    pattern: str
    message: str


class Settings(msgspec.Struct, frozen=True):
    """Everything a daemon was told. Paths are absolute."""

    state_dir: str
    socket: str
    socket_group: str | None = None
    kill_grace_s: float = 3.0
    shutdown_timeout_s: float = 30.0
    hang_timeout_s: float = 30.0
    max_source_bytes: int = 256 * MIB
    synchronous: Literal["full", "normal"] = "full"
    slot_uid_base: int = 2_000_000
    log: LogSettings = LogSettings()
    pools: dict[str, Pool] = {}
    queues: dict[str, QueueCaps] = {}
    retention: Retention = Retention()
    checks: tuple[CheckRule, ...] = ()
    http: HttpSettings = HttpSettings()
    webhooks: tuple[Webhook, ...] = ()


class Flags(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line said; None for what it did not. `sets` are the `key=value` of `--set`."""

    config: str | None = None
    state_dir: str | None = None
    socket: str | None = None
    workers: str | None = None
    log_level: str | None = None
    log_format: str | None = None
    log_file: str | None = None
    sets: tuple[str, ...] = ()
