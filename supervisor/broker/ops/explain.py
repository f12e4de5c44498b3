"""explain: why a job does not run yet, or why it died. Gathers what is known; `broker.explain` makes the sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from supervisor.broker.commit import wall_us
from supervisor.broker.explain import explain as sentences_for
from supervisor.broker.in_hand import in_hand
from supervisor.broker.service import Caller, Service, no_such_job
from supervisor.broker.situation import MOST_COUNTED, Situation, Worker, pools_taking
from supervisor.config import Pool
from supervisor.core.names import QUEUED
from supervisor.core.queues import caps_of, table_of
from supervisor.store import (
    Place,
    Standing,
    declined_by,
    job_view,
    jobs_before,
    pause_of,
    pauses,
    queue_counts,
    running_in,
    standing_of,
    waits_of,
)
from supervisor.wire.control import Explain

MOST_QUEUES: Final = 64
"""So many other queues are looked into for jobs that come before."""


async def explain(service: Service, caller: Caller, request: Explain) -> dict[str, Any]:
    """The job's state, and sentences with what would change each."""
    service.check_job(caller, request.job)
    now = _situation(service, request.job)
    sentences = [{"says": sentence.says, "change": sentence.change} for sentence in sentences_for(now)]
    return {"job": request.job, "state": now.view["state"], "sentences": sentences}


def _situation(service: Service, job: int) -> Situation:
    view, standing = job_view(service.reader, job), standing_of(service.reader, job)
    if view is None or standing is None:
        raise no_such_job(job)
    pools = service.leases.pools()
    before, elsewhere = _line(service, view, standing, pools) if view["state"] == QUEUED else (0, 0)
    return Situation(
        view=view,
        standing=standing,
        pools=pools,
        members=service.fleet.members,
        workers={name: Worker(seat.attach, seat.job) for name, seat in service.leases.seats().items()},
        waits=waits_of(service.reader, job),
        before=before,
        elsewhere=elsewhere,
        closing=service.leases.desk.closed,
        held=service.leases.desk.held,
        declined=declined_by(service.reader, job),
        pause=pause_of(service.reader, view["queue"]),
        caps=caps_of(service.settings.queues, view["queue"]),
        caps_table=table_of(service.settings.queues, view["queue"]),
        running=running_in(service.reader, view["queue"]),
        in_hand=in_hand(service).get(job),
        now_us=wall_us(),
    )


def _line(service: Service, view: dict[str, Any], standing: Standing, pools: tuple[Pool, ...]) -> tuple[int, int]:
    """How many jobs are before it: in its queue, and in the other queues of the same workers."""
    takers = pools_taking(pools, view["type"], view["queue"])
    types = sorted({kind for pool in takers for kind in pool.types})
    place = Place(view["priority"], standing.due_us, view["id"])

    def count(queues: Sequence[str]) -> int:
        return jobs_before(service.reader, place, queues=queues, types=types, most=MOST_COUNTED + 1)

    return count([view["queue"]]), count(_other_queues(service, view["queue"], takers))


def _other_queues(service: Service, own: str, takers: tuple[Pool, ...]) -> list[str]:
    waiting = [queue for queue, states in queue_counts(service.reader).items() if states[QUEUED]]
    taken = [queue for queue in waiting if any(not pool.queues or queue in pool.queues for pool in takers)]
    paused = pauses(service.reader)
    return [queue for queue in taken if queue != own and queue not in paused][:MOST_QUEUES]
