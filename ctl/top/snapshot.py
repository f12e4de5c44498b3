"""One look at the daemon: status, workers and jobs, fetched together. Values alone; a look is never changed."""

from __future__ import annotations

from ctl.job import Job
from ctl.moments import epoch_s
from supervisor.core.names import RUNNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ctl.client import Client

MOST_RUNNING = 250
MOST_RECENT = 50
GONE = "gone"


class Snapshot:
    """`workers` without those that are gone; `jobs`: the running ones, oldest first, then others, newest first."""

    def __init__(self, status: dict[str, Any], workers: Sequence[dict[str, Any]], jobs: Sequence[Job]) -> None:
        self.status = status
        self.workers = [worker for worker in workers if worker["state"] != GONE]
        self.jobs = list(jobs)
        self.worker_of = {worker["job"]: worker for worker in self.workers if worker["job"] is not None}

    @property
    def queues(self) -> list[dict[str, Any]]:
        """Those in which something waits or runs, or that are paused."""
        return [queue for queue in self.status.get("queues") or [] if queue["paused"] or any(waiting_running(queue))]

    @property
    def running(self) -> list[Job]:
        """The jobs that run."""
        return [job for job in self.jobs if job.state == RUNNING]

    def to_json(self) -> dict[str, Any]:
        """For programs: the parts as the daemon gave them."""
        return {"status": self.status, "workers": self.workers, "jobs": [job.raw for job in self.jobs]}


def look(client: Client) -> Snapshot:
    """Asks the daemon; raises WorkerctlError."""
    status, workers = client.status(), client.workers()
    running = client.list([RUNNING], limit=MOST_RUNNING)
    others = [job for job in client.list(limit=MOST_RECENT) if job.state != RUNNING]
    return Snapshot(status, workers, [*reversed(running), *others])


def waiting_running(queue: dict[str, Any]) -> tuple[int, int]:
    """How many jobs of a queue wait, and run."""
    jobs = queue["jobs"]
    return jobs.get("scheduled", 0) + jobs.get("queued", 0), jobs.get(RUNNING, 0)


class Use:
    """What a job has used of each limit: (used, limit) pairs, None where that is unknown, or there is no limit."""

    def __init__(self, job: Job, worker: dict[str, Any] | None, now_s: float) -> None:
        limits = job.limits
        started_s = epoch_s(job.started_at)
        ended_s = epoch_s(job.finished_at) or now_s
        self.wall_s = (None if started_s is None else max(0.0, ended_s - started_s), limits.get("wall_s"))
        self.cpu_s = (None if worker is None else worker.get("cpu_s"), limits.get("cpu_s"))
        self.memory_bytes = (None if worker is None else worker.get("memory_bytes"), limits.get("memory_bytes"))
