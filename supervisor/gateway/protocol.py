"""A connection of an HTTP client, within bounds that no client can move: the time for a request's head, and the time
that what we send may lie unread. uvicorn bounds neither.

What is unread for too long is dropped at once, and with it everything that it held up. Where there are as many
connections as there may be, the one that has been idle longest makes room: whoever may ask nothing keeps nobody out.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import h11
from loguru import logger
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from supervisor.core.errors import RequestError
from supervisor.gateway import problem

HEAD_S: Final = 10.0
UNREAD_S: Final = 10.0


class GuardedProtocol(H11Protocol):
    """uvicorn's protocol with two clocks."""

    _idle_since = 0.0
    _head_clock: asyncio.TimerHandle | None = None
    _unread_clock: asyncio.TimerHandle | None = None

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        # uvicorn would refuse in plain text.
        self._most_connections, self.limit_concurrency = self.limit_concurrency, None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._idle_since = self.loop.time()
        self._make_room()
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._idle_since = self.loop.time()
        self._watch_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._unread_clock is None:
            self._unread_clock = self.loop.call_later(UNREAD_S, self._drop_unread)

    def resume_writing(self) -> None:
        self._stop_unread_clock()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_unread_clock()
        self._stop_head_clock()
        super().connection_lost(exc)

    def _make_room(self) -> None:
        if self._most_connections is None or len(self.connections) <= self._most_connections:
            return
        others = (one for one in self.connections if isinstance(one, GuardedProtocol) and one is not self)
        idle = min((one for one in others if one._is_idle), key=lambda one: one._idle_since, default=None)
        if idle is not None:
            idle.transport.abort()
        else:
            self.app = _refuse_more

    def send_400_response(self, msg: str) -> None:
        """What is no request at all is a problem, too."""
        response = problem.answer(
            RequestError("bad_request", f"this is no HTTP: {msg}"), headers={"Connection": "close"}
        )
        head = h11.Response(status_code=response.status_code, headers=response.raw_headers, reason=b"Bad Request")
        for event in (head, h11.Data(data=bytes(response.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    @property
    def _is_idle(self) -> bool:
        """Whether no request is under way. One whose head is still to come is none."""
        return (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing()

    def _watch_head(self) -> None:
        """A head is under way while the client's side is idle and some of it is there, or nothing has come at all."""
        begun = self.conn.their_state is h11.IDLE and (self.cycle is None or bool(self.conn.trailing_data[0]))
        if not begun:
            self._stop_head_clock()
        elif self._head_clock is None:
            self._head_clock = self.loop.call_later(HEAD_S, self._drop_head)

    def _drop_head(self) -> None:
        self._head_clock = None
        if not self.transport.is_closing():
            self.transport.abort()

    def _drop_unread(self) -> None:
        self._unread_clock = None
        if not self.transport.is_closing():
            logger.info("dropped {}: it did not read for {:g} s", self.client or "a client", UNREAD_S)
            self.transport.abort()

    def _stop_head_clock(self) -> None:
        if self._head_clock is not None:
            self._head_clock.cancel()
            self._head_clock = None

    def _stop_unread_clock(self) -> None:
        if self._unread_clock is not None:
            self._unread_clock.cancel()
            self._unread_clock = None


async def _refuse_more(scope: Scope, receive: Receive, send: Send) -> None:
    """In the place of the application, where there are as many connections as there may be and none is idle."""
    error = RequestError("busy", "there are too many connections: try again")
    refusal: Response = problem.answer(error, headers={"Connection": "close", "Retry-After": "1"})
    await refusal(scope, receive, send)
