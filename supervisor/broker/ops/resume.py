"""resume: jobs of some queues, or of all, may start again."""

from __future__ import annotations

from typing import Any

from supervisor.broker.service import Caller, Service
from supervisor.store import pauses
from supervisor.store import resume as resume_queues
from supervisor.wire.control import Resume
from supervisor.wire.tree import Hold


async def resume(service: Service, caller: Caller, request: Resume) -> dict[str, Any]:
    """What this changed, and what is still paused. Answered when it is durable; free workers look at once.

    Without a queue a drain of the daemon is over, too.
    """
    changed = await service.committer.run(lambda tx: resume_queues(tx, request.queues, by_uid=caller.uid))
    drained = not request.queues and service.fleet.held
    if drained:
        await service.ask(Hold(request=0, on=False))
    service.leases.work_arrived()
    return {"changed": changed, "paused": sorted(pauses(service.reader)), "drain_ended": drained}
