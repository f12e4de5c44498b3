"""stop: shut the daemon down in order."""

from __future__ import annotations

from typing import Any

from supervisor.broker.service import Caller, Service
from supervisor.wire.control import Stop


async def stop(service: Service, _: Caller, __: Stop) -> dict[str, Any]:
    """Answered at once; the socket is gone when it is done."""
    service.request_stop()
    return {"state": "stopping"}
