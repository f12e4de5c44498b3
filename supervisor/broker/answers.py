"""What goes out on a connection: answers, items of streams, errors.

Invariant: what a client does not read is bounded, since whoever makes more looks first whether it is: `emit` waits for that.
Never: waits, but in `emit` and `emit_all`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from loguru import logger

from supervisor.core.errors import RequestError
from supervisor.wire.codec import Answer, AnyRequest, End, Error, Item, Ok, encode

UNREAD_S: Final = 5.0
UNSENT_BYTES: Final = 256 << 10
LINGER_S: Final = 5.0
"""So long a client may take to read the last words to it."""


class Lagged(Exception):
    """The client does not read what it asked for."""


class Answers(asyncio.Protocol):
    """The side of a connection that speaks."""

    def __init__(self) -> None:
        self.closed = False
        self._transport: asyncio.Transport
        self._loop = asyncio.get_running_loop()
        self._outbox: list[bytes] = []
        self._outbox_bytes = 0
        self._writable = asyncio.Event()
        self._writable.set()

    @property
    def closing(self) -> bool:
        """Whether its end has begun."""
        return self.closed or self._transport.is_closing()

    def answer(self, request: int, value: object) -> None:
        """Answers `request` with `value`."""
        self._send(Ok(id=request, value=value))

    def answer_soon(self, request: int, value: object) -> None:
        """The same, sent with what else is answered until `flush`."""
        line = encode(Ok(id=request, value=value))
        self._outbox.append(line)
        self._outbox_bytes += len(line)
        if self._outbox_bytes > UNSENT_BYTES:
            self.flush()

    def flush(self) -> None:
        """Sends what was to be answered soon."""
        if self._outbox:
            lines, self._outbox, self._outbox_bytes = self._outbox, [], 0
            self._write(b"".join(lines))

    def item(self, request: int, value: object) -> None:
        """Sends one item of the stream of `request`, without waiting for the client."""
        self._send(Item(id=request, value=value))

    async def emit(self, request: int, value: object) -> None:
        """Sends one item as fast as the client reads; raises Lagged."""
        await self.emit_all(request, (value,))

    async def emit_all(self, request: int, values: Iterable[object]) -> None:
        """Sends items in one piece, as fast as the client reads; raises Lagged."""
        # Again: of all that were waiting the first one may have filled it up.
        while not self._writable.is_set():
            try:
                await asyncio.wait_for(self._writable.wait(), UNREAD_S)
            except TimeoutError:
                raise Lagged from None
        self._write(b"".join(encode(Item(id=request, value=value)) for value in values))

    def end(self, request: int, cursor: int) -> None:
        """Ends the stream of `request`."""
        self._send(End(id=request, cursor=cursor))

    def error(self, request: int | None, error: RequestError) -> None:
        """Answers `request` with an error."""
        self._send(Error(id=request, code=error.code, message=error.message, data=error.data))

    def fail(self, request: AnyRequest, why: Exception) -> None:
        """Answers `request` with what kept it from being done; what is no refusal is a defect of ours."""
        if not isinstance(why, RequestError):
            logger.opt(exception=why).error("a defect while serving {}", type(request).__name__)
            why = RequestError("internal", "a defect of the daemon; its log says more")
        self.error(request.id, why)

    def close(self) -> None:
        """Closes it once what was answered has been sent, or after a moment."""
        self.flush()
        if not self.closed and not self._transport.is_closing():
            self._transport.close()
            self._loop.call_later(LINGER_S, self._transport.abort)

    def _send(self, message: Answer) -> None:
        self._write(encode(message))

    def _write(self, lines: bytes) -> None:
        if not self.closed and not self._transport.is_closing():
            self._transport.write(lines)
