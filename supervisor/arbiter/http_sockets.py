"""Where HTTP is served: bound once, before anything is started, and inherited by each gateway.

An address that cannot be bound is an error of the start. Nothing is ever read from these sockets here.
"""

from __future__ import annotations

import os
import socket
from typing import Final

from supervisor.arbiter import listener
from supervisor.arbiter.handover import LeftGateway
from supervisor.arbiter.listener import Listener
from supervisor.config import Settings
from supervisor.config.http import split_address
from supervisor.core.errors import SettingsError
from supervisor.paths import check_socket_length

SOCKET_NAME: Final = "http.sock"
_BACKLOG: Final = 512


class HttpSockets:
    """Where HTTP is served. `inherited` are those of the program before this one."""

    def __init__(self, settings: Settings, control: str, inherited: LeftGateway | None = None) -> None:
        if inherited is not None:
            self.tcp = socket.socket(fileno=inherited.tcp)
            self.unix = Listener(socket.socket(fileno=inherited.unix), inherited.path, inherited.identity)
        else:
            self.tcp = _bind(settings.http.listen or "")
            path = settings.http.socket or f"{os.path.dirname(control)}/{SOCKET_NAME}"
            check_socket_length(path)
            self.unix = listener.bind(path, None)

    @property
    def url(self) -> str:
        """What a browser on this machine is given."""
        host, port = self.tcp.getsockname()[:2]
        shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
        return f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"

    @property
    def fds(self) -> tuple[int, int]:
        """Both."""
        return self.tcp.fileno(), self.unix.socket.fileno()


def _bind(address: str) -> socket.socket:
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise SettingsError(f"http.listen: {address} cannot be bound: {error.strerror}") from error
    return bound
