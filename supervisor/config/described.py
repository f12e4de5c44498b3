"""Every key of the settings in the order in which they are explained best, for the documentation."""

from __future__ import annotations

from supervisor.config.http import HTTP
from supervisor.config.keys import DAEMON, LIMIT, LOG, POOL, QUEUE, RETENTION


def describe_settings() -> list[tuple[str, str, str, str]]:
    """Every key as (key, type, default, description), in the order in which they are explained best."""
    rows = [(key.name, key.kind.name, key.default, key.description) for key in DAEMON.values()]
    rows += [(f"log.{key.name}", key.kind.name, key.default, key.description) for key in LOG.values()]
    rows += [(f"http.{key.name}", key.kind.name, key.default, key.description) for key in HTTP.values()]
    rows += [(f"retention.{key.name}", key.kind.name, key.default, key.description) for key in RETENTION.values()]
    rows += [(f"queues.NAME.{key.name}", key.kind.name, key.default, key.description) for key in QUEUE.values()]
    rows += [(f"pools.NAME.{key.name}", key.kind.name, key.default, key.description) for key in POOL.values()]
    rows += [
        (f"pools.NAME.limits.{key.name}", key.kind.name, key.default, f"Default of a job: {_lower(key.description)}")
        for key in LIMIT.values()
    ]
    rows += [
        (f"pools.NAME.max.{key.name}", key.kind.name, "none", f"Most that a job may ask for: {_lower(key.description)}")
        for key in LIMIT.values()
    ]
    return rows


def _lower(sentence: str) -> str:
    return sentence if sentence.startswith("CPU") else sentence[0].lower() + sentence[1:]
