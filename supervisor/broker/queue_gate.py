"""What a queue itself keeps its jobs from: a pause, its cap of running jobs. And how `status` shows queues. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from supervisor.broker.sentence import Sentence, count_of
from supervisor.broker.situation import Situation
from supervisor.core.names import QUEUED, RUNNING, SCHEDULED
from supervisor.core.queues import EVERY_QUEUE, QueueCaps, caps_of
from supervisor.store import Pause, rfc3339

MOST_SHOWN: Final = 500
"""So many queues fit into an answer, however long their names are."""


def paused(now: Situation) -> list[Sentence]:
    """That its queue is paused, and what resumes it."""
    if now.pause is None:
        return []
    every = now.pause.queue == EVERY_QUEUE
    queue = "All queues are" if every else f"Queue {now.pause.queue} is"
    since = f"since {rfc3339(now.pause.since_us)}, by uid {now.pause.by_uid}"
    return [
        Sentence(
            f"{queue} paused {since}: nothing starts until that is over.",
            "workerctl resume" if every else f"workerctl resume {now.pause.queue}",
        )
    ]


def full(now: Situation) -> list[Sentence]:
    """That its queue runs as many jobs as it may."""
    most = now.caps.max_running
    if most is None or now.running < most:
        return []
    running = f"and {count_of(now.running, 'runs', 'run')} now" if now.running else "so that none ever starts"
    return [
        Sentence(
            f"Queue {now.view['queue']} runs at most {count_of(most, 'job')} at once, {running}.",
            f"setting {now.caps_table}.max_running",
        )
    ]


def views(
    counts: Mapping[str, Mapping[str, int]], pauses: Mapping[str, Pause], caps: Mapping[str, QueueCaps]
) -> list[dict[str, Any]]:
    """Each queue as JSON: those that have jobs, are paused or have caps; those with work first, if there are many."""
    alive = {name for name, jobs in counts.items() if any(jobs.values())}
    names = (alive | set(pauses) | set(caps)) - {EVERY_QUEUE}
    return [_view(name, counts.get(name), pauses, caps_of(caps, name)) for name in shown_of(names, counts, pauses)]


def shown_of(
    names: Collection[str], counts: Mapping[str, Mapping[str, int]], paused: Collection[str] = ()
) -> list[str]:
    """So many of the queues as fit into an answer, by name; if there are more, those that are paused or have work."""

    def by_weight(name: str) -> tuple[bool, bool, str]:
        jobs = counts.get(name, {})
        return name not in paused, not any(jobs.get(state) for state in (SCHEDULED, QUEUED, RUNNING)), name

    return sorted(sorted(names, key=by_weight)[:MOST_SHOWN]) if len(names) > MOST_SHOWN else sorted(names)


def _view(name: str, jobs: Mapping[str, int] | None, pauses: Mapping[str, Pause], caps: QueueCaps) -> dict[str, Any]:
    pause = pauses.get(EVERY_QUEUE) or pauses.get(name)
    return {
        "name": name,
        "jobs": dict(jobs or {}),
        "paused": pause is not None,
        "paused_at": None if pause is None else rfc3339(pause.since_us),
        "max_queued": caps.max_queued,
        "max_running": caps.max_running,
    }
