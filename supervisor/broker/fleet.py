"""The arbiter's workers as the broker knows them, and its channel to the arbiter.

Invariant: an attempt is lost only by the arbiter's `exited`, and only after that worker's connection has been read
to its end, so that a settle which the worker sent before it died still counts. No timer decides.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from loguru import logger

from supervisor.core.errors import RequestError
from supervisor.wire.codec import decode_from_arbiter, encode
from supervisor.wire.frame import READ_SIZE, LineBuffer
from supervisor.wire.tree import Acked, BrokerMessage, Close, Drain, Exited, Fleet, Member

BACKLOG_TURNS: Final = 3
"""Loop turns after which every connection that waited in the listener's backlog has been accepted and read."""
RECORD_AGAIN_S: Final = 0.5


class FleetView:
    """The newest `fleet`."""

    def __init__(self) -> None:
        self.newest: Fleet | None = None

    @property
    def members(self) -> tuple[Member, ...]:
        """Every worker slot."""
        return self.newest.members if self.newest is not None else ()

    @property
    def draining(self) -> bool:
        """Whether the daemon is shutting down."""
        return self.newest is not None and self.newest.draining

    def runs(self, incarnation: str, pid: int) -> bool:
        """Whether this incarnation is alive and is the process `pid`."""
        return any(member.incarnation == incarnation and member.pid == pid for member in self.members)


@dataclass
class Handlers:
    """What the broker does with the arbiter's messages."""

    on_fleet: Callable[[Fleet], None]
    on_exited: Callable[[Exited], Awaitable[None]]
    on_drain: Callable[[], None]
    on_close: Callable[[], None]


class ArbiterLink:
    """The broker's end of the channel. The arbiter's death ends the broker with it (it dies by the kernel's hand)."""

    def __init__(self, channel: socket.socket, handlers: Handlers) -> None:
        channel.setblocking(False)
        self._channel = channel
        self._handlers = handlers
        self._lines = LineBuffer()
        self._exits: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        """Reads messages until the channel ends."""
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(self._channel, READ_SIZE):
            for line in self._lines.feed(data):
                self._hear(line)

    def say(self, message: BrokerMessage) -> None:
        """Sends a short message; the channel's buffer holds many more than can be under way."""
        self._channel.send(encode(message))

    def _hear(self, line: bytes) -> None:
        match message := decode_from_arbiter(line):
            case Fleet():
                self._handlers.on_fleet(message)
            case Exited():
                task = asyncio.ensure_future(self._record(message))
                self._exits.add(task)
                task.add_done_callback(self._exits.discard)
            case Drain():
                self._handlers.on_drain()
            case Close():
                self._handlers.on_close()

    async def _record(self, exited: Exited) -> None:
        while True:
            try:
                await self._handlers.on_exited(exited)
                break
            except RequestError as error:
                logger.warning("the exit of {} could not be recorded, trying again: {}", exited.worker, error)
                await asyncio.sleep(RECORD_AGAIN_S)
        self.say(Acked(incarnation=exited.incarnation))
