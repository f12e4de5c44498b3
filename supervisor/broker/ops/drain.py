"""drain: no more jobs are started, and then again."""

from __future__ import annotations

from typing import Any

from supervisor.broker.service import Caller, Service
from supervisor.core.names import RUNNING
from supervisor.store import counts
from supervisor.wire import tree
from supervisor.wire.control import Drain


async def drain(service: Service, _: Caller, request: Drain) -> dict[str, Any]:
    """Answered when it holds: from then on nothing is started. `running` is how many still run."""
    await service.ask(tree.Hold(request=0, on=request.on))
    return {"state": "draining" if request.on else "running", "running": counts(service.reader)[RUNNING]}
