"""One connection: its frames in, its answers out, within bounds that no client can move.

Bounds: a line has 1 MiB and 5 s from its first byte; so many requests may be under way; while answers lie unread
nothing more is read or begun, and after a while that ends the connection. A client that only stops writing still gets
its answers. A worker's connection is always read to its end, since its last words decide an outcome.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import struct
from collections.abc import Iterator
from typing import Final, Protocol

from supervisor.broker.answers import LINGER_S, UNREAD_S, UNSENT_BYTES, Answers, Lagged
from supervisor.broker.service import Caller
from supervisor.broker.timer import Timer
from supervisor.core.errors import RequestError
from supervisor.core.shortage import short_of
from supervisor.wire.codec import AnyRequest, decode_request, request_id_of
from supervisor.wire.frame import READ_SIZE, FrameTooLarge, LineBuffer
from supervisor.wire.lease import Attach

FRAME_S: Final = 5.0
MAX_UNDER_WAY: Final = 256
NEW_S: Final = 1.0
HANG_UP_S: Final = 2.0
"""How often a client that has stopped writing is looked at: nothing tells when it has gone for good."""


class House(Protocol):
    """Who owns the sessions."""

    def joined(self, session: Session) -> None:
        """A connection was made."""

    def left(self, session: Session) -> None:
        """A connection is gone."""

    def caller(self, uid: int, gid: int, pid: int, connection: int) -> Caller:
        """Who that is."""

    def is_stream(self, request: AnyRequest) -> bool:
        """Whether it is answered until the client has enough."""

    def carry_out(self, session: Session, request: AnyRequest) -> bool:
        """Begins a request that answers by itself later; False if it is another one."""

    async def dispatch(self, session: Session, request: AnyRequest) -> None:
        """Answers a request."""


class Session(Answers):
    """A client's or a worker's connection."""

    def __init__(self, number: int, house: House) -> None:
        super().__init__()
        self.number = number
        self.caller: Caller
        self.attach: Attach | None = None
        self.is_worker = False
        self.read_to_end = asyncio.Event()
        self.idle_since = 0.0
        self.served = False
        self.awaited = 0
        self._house = house
        self._lines = LineBuffer()
        self._arrived: Iterator[bytes] | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        self._streams: set[asyncio.Task[None]] = set()
        self._begun = 0
        self._frame_timer, self._unread_timer = Timer(), Timer()
        self._half_closed = False

    # What asyncio says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=UNSENT_BYTES)
        pid, uid, gid = struct.unpack(
            "3i", transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        )
        self.caller = self._house.caller(uid, gid, pid, self.number)
        self.idle_since = self._loop.time()
        self._house.joined(self)

    def data_received(self, data: bytes) -> None:
        self._lines.add(data)
        self._arrived = self._lines.lines()
        self._take_on()

    def eof_received(self) -> bool:
        self._half_closed = True
        self.read_to_end.set()
        self._frame_timer.stop()
        self.flush()
        if not self._load or self.attach is not None or self._peer_is_gone():
            return False
        self._loop.call_later(HANG_UP_S, self._look_for_hang_up)
        return True

    def connection_lost(self, _: Exception | None) -> None:
        if self.attach is not None:
            self._read_last_words()
        self.closed = True
        self.read_to_end.set()
        self._writable.set()
        self._frame_timer.stop()
        self._unread_timer.stop()
        self._end_streams()
        self._house.left(self)

    def pause_writing(self) -> None:
        self._writable.clear()
        if self.attach is None:
            self._unread_timer.start(UNREAD_S + LINGER_S, self._give_up_unread)
        self._pace()

    def resume_writing(self) -> None:
        self._writable.set()
        self._unread_timer.stop()
        self._take_on()

    # Answers

    def answer_in_turn(self, request: int, value: object) -> None:
        """The same, sent with what else is answered in this turn of the loop."""
        if not self._outbox:
            self._loop.call_soon(self._end_turn)
        self.answer_soon(request, value)

    def _end_turn(self) -> None:
        self.flush()
        self._one_less()

    def begun(self) -> None:
        """A request is under way that `finish` will answer."""
        self._begun += 1

    def finish(self, request: AnyRequest, result: object) -> None:
        """Answers a request that was begun: with its value, or with the exception that `result` is."""
        self._begun -= 1
        if isinstance(result, Exception):
            self.fail(request, result)
            self._one_less()
        else:
            self.answer_in_turn(request.id, result)

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, and it is not being closed already."""
        return not self._load and self.attach is None and not self.closing

    @property
    def is_new(self) -> bool:
        """Whether it was made just now and has not been served yet."""
        return not self.served and self._loop.time() - self.idle_since < NEW_S

    # Inside

    def _take_on(self) -> None:
        """Begins what has arrived, as far as more may be under way. Only when all of it is begun is more read."""
        try:
            while self._arrived is not None and self._may_take_on and not self.closed:
                line = next(self._arrived, None)
                if line is None:
                    self._arrived = None
                else:
                    self._frame_timer.stop()
                    self._receive(line)
        except FrameTooLarge:
            self._arrived = None
            self._refuse_and_close(RequestError("frame_too_large", "a line may have 1 MiB at most"))
            return
        self._pace()

    @property
    def _may_take_on(self) -> bool:
        return self.attach is not None or (self._writable.is_set() and self._load < MAX_UNDER_WAY)

    def _receive(self, line: bytes) -> None:
        try:
            request = decode_request(line)
        except RequestError as error:
            number = request_id_of(line)
            if error.code == "bad_frame":
                self._refuse_and_close(error)
            else:
                self.error(number, error)
            return
        if self._serve_at_once(request):
            return
        task = self._loop.create_task(self._serve(request))
        self._under_way.add(task)
        if self._house.is_stream(request):
            self._streams.add(task)
        task.add_done_callback(self._served)

    def _serve_at_once(self, request: AnyRequest) -> bool:
        """What waits for nothing but a commit needs no task of its own; False if this is nothing of the kind."""
        try:
            return self._house.carry_out(self, request)
        except Exception as error:
            self.fail(request, error)
        return True

    async def _serve(self, request: AnyRequest) -> None:
        # What nobody reads is not even made; all that were begun together would be in memory at once.
        while not self._writable.is_set() and self.attach is None:
            await self._writable.wait()
            if self.closed:
                return
        try:
            await self._house.dispatch(self, request)
        except RequestError as error:
            self.error(request.id, error)
        except Lagged:
            self.error(request.id, RequestError("lagged", "you read too slowly; resume from your cursor"))
            self.close()
        except asyncio.CancelledError:
            raise
        except OSError as error:
            if (want := short_of(error.errno)) is None:
                self.fail(request, error)
                return
            self.error(request.id, RequestError("busy", f"the daemon is short of {want} now; try again later"))
        except Exception as error:
            self.fail(request, error)

    def _served(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._streams.discard(task)
        self._one_less()

    def _one_less(self) -> None:
        self.served = True
        self.idle_since = self._loop.time()
        if self._half_closed and not self._load:
            self.close()
        self._take_on()

    @property
    def _load(self) -> int:
        """How many requests are under way."""
        return len(self._under_way) + self._begun

    def _pace(self) -> None:
        """Reads on only while answers are read and few requests are under way."""
        if self.closed or self._transport.is_closing() or self._half_closed:
            return
        if self._arrived is None and self._may_take_on:
            self._transport.resume_reading()
            self._watch_frame()
        else:
            # While we do not read, the rest of a line is not late by the client's fault.
            self._frame_timer.stop()
            self._transport.pause_reading()

    def _read_last_words(self) -> None:
        """HAZARD: an answer that a dead worker cannot take ends the transport, whatever of its words is still unread."""
        descriptor = self._transport.get_extra_info("socket").fileno()
        with contextlib.suppress(OSError):
            while data := os.read(descriptor, READ_SIZE):
                self.data_received(data)

    def _peer_is_gone(self) -> bool:
        """A peer that closed and one that only stopped writing both look like the end of the data; poll knows."""
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket"), 0)
        return any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))

    def _look_for_hang_up(self) -> None:
        if self.closed or self._transport.is_closing():
            return
        if self._peer_is_gone():
            self._transport.abort()
        else:
            self._loop.call_later(HANG_UP_S, self._look_for_hang_up)

    def _watch_frame(self) -> None:
        if not self._lines.unfinished:
            self._frame_timer.stop()
        else:
            self._frame_timer.start(FRAME_S, self._give_up_frame)

    def _give_up_frame(self) -> None:
        self._refuse_and_close(RequestError("frame_timeout", f"a line was not complete after {FRAME_S:g} s"))

    def _give_up_unread(self) -> None:
        self.closed = True
        self._end_streams()
        self._transport.abort()

    def _refuse_and_close(self, error: RequestError) -> None:
        self.error(None, error)
        self._frame_timer.stop()
        self.close()
        self.closed = True

    def _end_streams(self) -> None:
        """Only streams: a request that was read is carried out, since it may be the end of an attempt."""
        for task in list(self._streams):
            task.cancel()
