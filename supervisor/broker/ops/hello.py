"""hello: agree on a protocol number."""

from __future__ import annotations

from typing import Any

from supervisor import __version__
from supervisor.broker.service import Caller, Service
from supervisor.core.errors import RequestError
from supervisor.core.names import PROTOCOL
from supervisor.wire.control import Hello


async def hello(_: Service, __: Caller, request: Hello) -> dict[str, Any]:
    """The number to speak, and who answers."""
    lowest, highest = request.protocol
    if not lowest <= PROTOCOL <= highest:
        raise RequestError(
            "unsupported_version",
            f"this daemon speaks protocol {PROTOCOL}, you speak {lowest} to {highest}",
            {"protocol": [PROTOCOL, PROTOCOL]},
        )
    return {"protocol": PROTOCOL, "server": f"workerctl/{__version__}"}
