"""scale: how many workers a pool has, while the daemon runs."""

from __future__ import annotations

from typing import Any

from supervisor.broker.service import Caller, Service
from supervisor.wire import tree
from supervisor.wire.control import Scale


async def scale(service: Service, _: Caller, request: Scale) -> dict[str, Any]:
    """Answered as soon as it is decided; `status` shows the workers come and go."""
    return await service.ask(tree.Scale(request=0, pool=request.pool, replicas=request.replicas))
