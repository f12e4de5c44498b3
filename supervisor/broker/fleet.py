"""The arbiter's workers as the broker knows them, and its channel to the arbiter.

Invariant: an attempt is lost only by the arbiter's `exited`, and only after that worker's connection has been read
to its end, so that a settle which the worker sent before it died still counts. No timer decides.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import socket
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from loguru import logger

from supervisor.core.errors import RequestError
from supervisor.wire.codec import decode_from_arbiter, encode
from supervisor.wire.frame import MAX_ANSWER, READ_SIZE, LineBuffer
from supervisor.wire.tree import (
    Acked,
    ArbiterRequest,
    BrokerMessage,
    Close,
    Configure,
    Done,
    Drain,
    Exited,
    Fleet,
    Gateway,
    Member,
    Ping,
    Upgrading,
)

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

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences of the arbiter about what is not well."""
        return self.newest.notes if self.newest is not None else ()

    @property
    def held(self) -> bool:
        """Whether an operator wants no more leases to be granted for now."""
        return self.newest is not None and self.newest.held

    @property
    def version(self) -> str:
        """The arbiter's, which may be newer than our own; empty before its first word."""
        return self.newest.version if self.newest is not None else ""

    @property
    def upgrades(self) -> int:
        """How often the arbiter has gone over to other code."""
        return self.newest.upgrades if self.newest is not None else 0

    @property
    def gateway(self) -> Gateway | None:
        """The HTTP gateway as the arbiter sees it; None where HTTP is off."""
        return self.newest.gateway if self.newest is not None else None

    @property
    def upgrading(self) -> Upgrading | None:
        """The upgrade that is under way."""
        return self.newest.upgrading if self.newest is not None else None

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
    on_settings: Callable[[Configure], None]
    on_ping: Callable[[], Coroutine[Any, Any, None]]


class ArbiterLink:
    """The broker's end of the channel. The arbiter's death ends the broker with it (it dies by the kernel's hand)."""

    def __init__(self, channel: socket.socket, handlers: Handlers) -> None:
        channel.setblocking(False)
        self._channel = channel
        self._handlers = handlers
        # The settings may be longer than a client's line.
        self._lines = LineBuffer(MAX_ANSWER)
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked: dict[int, asyncio.Future[Done]] = {}
        # What another broker had asked is answered to nobody: not to us, by the same number.
        self._numbers = itertools.count(secrets.randbelow(1 << 40))

    async def listen(self) -> None:
        """Reads messages until the channel ends."""
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(self._channel, READ_SIZE):
            for line in self._lines.feed(data):
                self._hear(line)

    def say(self, message: BrokerMessage) -> None:
        """Sends a short message; the channel's buffer holds many more than can be under way."""
        self._channel.send(encode(message))

    async def ask(self, request: ArbiterRequest) -> dict[str, Any]:
        """What the arbiter says to a request; raises RequestError with its reason for a refusal.

        It may take as long as it takes: a client that has gone by then loses nothing but the answer.
        """
        request.request = next(self._numbers)
        answer = self._asked[request.request] = asyncio.get_running_loop().create_future()
        try:
            self.say(request)
            done: Done = await answer
        finally:
            del self._asked[request.request]
        if not done.ok:
            raise RequestError(done.code, done.message, done.data or None)
        return done.data

    def _hear(self, line: bytes) -> None:
        match message := decode_from_arbiter(line):
            case Fleet():
                self._handlers.on_fleet(message)
            case Exited():
                self._begin(self._record(message))
            case Done():
                answer = self._asked.get(message.request)
                if answer is not None and not answer.done():
                    answer.set_result(message)
            case Configure():
                self._handlers.on_settings(message)
            case Ping():
                self._begin(self._handlers.on_ping())
            case Drain():
                self._handlers.on_drain()
            case Close():
                self._handlers.on_close()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _record(self, exited: Exited) -> None:
        while True:
            try:
                await self._handlers.on_exited(exited)
                break
            except RequestError as error:
                logger.warning("the exit of {} could not be recorded, trying again: {}", exited.worker, error)
                await asyncio.sleep(RECORD_AGAIN_S)
        self.say(Acked(incarnation=exited.incarnation))
