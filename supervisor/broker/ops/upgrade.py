"""upgrade: over to new code, in place."""

from __future__ import annotations

import os
from typing import Any

from supervisor.broker.service import Caller, Service
from supervisor.core.errors import RequestError
from supervisor.wire import tree
from supervisor.wire.control import Upgrade


async def upgrade(service: Service, _: Caller, request: Upgrade) -> dict[str, Any]:
    """Answered by the new code, or with the reason why nothing was changed. That may take minutes."""
    if request.python is not None and not os.path.isabs(request.python):
        raise RequestError("bad_request", f"`python`: an absolute path is needed, not {request.python!r}")
    return await service.ask(tree.Upgrade(request=0, python=request.python))
