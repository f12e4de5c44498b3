"""reload: the settings are read again."""

from __future__ import annotations

from typing import Any

from supervisor.broker.service import Caller, Service
from supervisor.wire import tree
from supervisor.wire.control import Reload


async def reload(service: Service, _: Caller, __: Reload) -> dict[str, Any]:
    """Answered when they are applied, with what has changed and what needs a restart of the daemon."""
    return await service.ask(tree.Reload(request=0))
