"""What a queue may hold and run at once, as the settings say it. Pure: values and look-ups, no counting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

EVERY_QUEUE: Final = "*"
"""Stands for all queues: in the settings for those without a table of their own, in a pause for each there is."""


class QueueCaps(msgspec.Struct, frozen=True):
    """`max_queued` caps the jobs that are scheduled or queued, `max_running` those that run at once; None: no cap."""

    max_queued: int | None = None
    max_running: int | None = None


NO_CAPS: Final = QueueCaps()


def caps_of(queues: Mapping[str, QueueCaps], queue: str) -> QueueCaps:
    """The caps of a queue: its own table, else that of all queues, else none."""
    return queues.get(queue) or queues.get(EVERY_QUEUE) or NO_CAPS


def table_of(queues: Mapping[str, QueueCaps], queue: str) -> str:
    """How the settings name the table that holds for a queue, or would: `queues.slow`, `queues."*"`."""
    quoted = EVERY_QUEUE if queue not in queues and EVERY_QUEUE in queues else queue
    return f"queues.{quoted}" if quoted.replace("-", "").replace("_", "").isalnum() else f'queues."{quoted}"'
