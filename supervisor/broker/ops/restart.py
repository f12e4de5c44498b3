"""restart: fresh workers, one at a time."""

from __future__ import annotations

from typing import Any

from supervisor.broker.service import Caller, Service
from supervisor.wire import tree
from supervisor.wire.control import Restart


async def restart(service: Service, _: Caller, request: Restart) -> dict[str, Any]:
    """Answered as soon as it has begun; `status` shows at each worker whether its turn is still to come."""
    return await service.ask(tree.Restart(request=0, pool=request.pool))
