"""pause: nothing more of some queues, or of all, starts; what runs goes on, and submits are accepted."""

from __future__ import annotations

from typing import Any

from supervisor.broker.service import Caller, Service
from supervisor.store import pause as pause_queues
from supervisor.store import pauses
from supervisor.wire.control import Pause


async def pause(service: Service, caller: Caller, request: Pause) -> dict[str, Any]:
    """What this changed, and what is paused now (`*`: all). Answered when it is durable."""
    changed = await service.committer.run(lambda tx: pause_queues(tx, request.queues, by_uid=caller.uid))
    return {"changed": changed, "paused": sorted(pauses(service.reader))}
