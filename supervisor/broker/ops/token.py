"""token: a secret of the HTTP side, for the daemon's user alone, and where HTTP is served.

Read from the file that the arbiter made; no path is ever the client's.
"""

from __future__ import annotations

from typing import Any

from supervisor import tokens
from supervisor.broker.service import Caller, Service
from supervisor.core.errors import RequestError, SettingsError
from supervisor.wire.control import Token


async def token(service: Service, _: Caller, request: Token) -> dict[str, Any]:
    """The token, its role, and the gateway's addresses."""
    gateway = service.fleet.gateway
    if gateway is None:
        raise RequestError(
            "unsupported",
            "HTTP is off, so that there is no token: set http.listen (such as 127.0.0.1:8080) and restart",
        )
    try:
        found = tokens.read(service.paths.state_dir)
    except (FileNotFoundError, SettingsError) as error:
        raise RequestError("internal", f"the tokens cannot be read: {error}; restart the daemon") from None
    return {"role": request.role, "token": found.of(request.role), "url": gateway.url, "socket": gateway.socket}
