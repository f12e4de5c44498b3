"""The same look as text, for pipes, files and `--once`: nothing moves, and every line stays."""

from __future__ import annotations

import time

from ctl.console import escape
from ctl.job_columns import progress_words
from ctl.table import print_flow, print_table
from ctl.top.snapshot import Use, waiting_running
from supervisor.core.units import format_duration, format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ctl.console import Console
    from ctl.top.snapshot import Snapshot


def print_snapshot(console: Console, seen: Snapshot) -> None:
    """One look: the daemon, its workers, its queues, and the jobs that run."""
    status = seen.status
    state = escape(status["state"])
    head = f"{time.strftime('%Y-%m-%d %H:%M:%S')}  worker-supervisor {escape(status['version'])}"
    print_flow(console, [(head, None), (state, state), (f"up {format_duration(status['uptime_s'])}", None)])
    counts = [(f"{number} {name}", name if number else None) for name, number in status["jobs"].items()]
    print_flow(console, [("jobs", None), *counts])
    if seen.workers:
        console.print("")
        names = ("name", "state", "job", "done", "failed", "note")
        rows = [[worker[name] for name in names] for worker in seen.workers]
        print_table(console, ["WORKER", *(name.upper() for name in names[1:])], rows)
    if seen.queues:
        console.print("")
        queues = [
            [queue["name"], "paused" if queue["paused"] else "open", *waiting_running(queue)] for queue in seen.queues
        ]
        print_table(console, ["QUEUE", "STATE", "WAITING", "RUNNING"], queues)
    _print_running(console, seen)


def _print_running(console: Console, seen: Snapshot) -> None:
    if not seen.running:
        return
    now_s = time.time()
    rows = []
    for job in seen.running:
        use = Use(job, seen.worker_of.get(job.id), now_s)
        rows.append(
            [
                job.id,
                job.name,
                job.queue,
                job.attempt,
                _against(use.wall_s, format_duration),
                _against(use.cpu_s, format_duration),
                _against(use.memory_bytes, format_size),
                progress_words(job),
            ]
        )
    console.print("")
    print_table(console, ["JOB", "NAME", "QUEUE", "ATTEMPT", "TIME", "CPU", "MEMORY", "PROGRESS"], rows)


def _against(pair: tuple[Any, Any], words: Any) -> str | None:
    used, limit = pair
    if used is None:
        return None
    return words(used) if limit is None else f"{words(used)} of {words(limit)}"
