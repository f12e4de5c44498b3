"""The gateway's way to the broker: requests over one shared connection, each stream over one of its own.

Invariant: what may be repeated is repeated over a new connection, what may not is answered `outcome_unknown`; a stream
goes on where its reader was. A stream is read only as fast as it is consumed, so that a slow HTTP client holds up its
own connection and nothing else.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import msgspec

from supervisor import __version__
from supervisor.core.errors import RequestError
from supervisor.core.names import PROTOCOL
from supervisor.wire.frame import MAX_ANSWER, MAX_LINE, READ_SIZE, FrameTooLarge, LineBuffer

ANSWER_S: Final = 10.0
"""So long an answer may take, reconnecting included."""
LOST_S: Final = 60.0
"""So long a stream tries to reach a broker again before it gives up."""
_PAUSES_S: Final = (0.05, 0.1, 0.2, 0.5)
_AGAIN: Final = frozenset({"busy", "lagged"})
"""Errors of a stream after which it asks again from where it is."""

Fields = dict[str, Any]


class Lost(Exception):
    """The connection is gone; what was sent last may have been done or not."""


class _Connection:
    """One connection whose requests are numbered. Its answers are read by one reader."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._last = 0

    @classmethod
    async def open(cls, path: str) -> _Connection:
        try:
            reader, writer = await asyncio.open_unix_connection(path, limit=READ_SIZE)
        except OSError as error:
            raise Lost(str(error)) from error
        connection = cls(reader, writer)
        connection.send("hello", {"protocol": [PROTOCOL, PROTOCOL], "client": f"gateway/{__version__}"})
        return connection

    def send(self, op: str, fields: Fields) -> int:
        """Sends one request; returns its number. The hello has number 1, and nobody waits for its answer."""
        self._last += 1
        line = msgspec.json.encode({"op": op, "id": self._last, **fields}) + b"\n"
        if len(line) > MAX_LINE:
            raise RequestError("frame_too_large", f"the request has {len(line)} bytes, at most {MAX_LINE} can be sent")
        self._writer.write(line)
        return self._last

    async def answers(self) -> AsyncIterator[Fields]:
        """What comes, one answer after the other, until the connection ends, which raises Lost."""
        lines = LineBuffer(MAX_ANSWER)
        try:
            while data := await self._reader.read(READ_SIZE):
                for line in lines.feed(data):
                    yield msgspec.json.decode(line)
        except (OSError, FrameTooLarge, msgspec.DecodeError) as error:
            raise Lost(str(error)) from error
        raise Lost("the broker closed the connection")

    def close(self) -> None:
        self._writer.transport.abort()


class Link:
    """The broker behind the control socket at `path`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._shared: _Connection | None = None
        self._waiting: dict[int, asyncio.Future[Fields]] = {}
        self._reading: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()

    async def ask(self, op: str, fields: Fields | None = None, *, repeat: bool = True) -> Any:
        """The value of the answer; raises RequestError with the code that it is answered with, or `no_daemon`.

        `repeat`: whether doing it twice is the same as doing it once.
        """
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._ask(op, fields or {}, repeat)
        except TimeoutError:
            raise RequestError("no_daemon", f"the broker did not answer within {ANSWER_S:g} s") from None

    async def _ask(self, op: str, fields: Fields, repeat: bool) -> Any:
        tries = 0
        while True:
            sent = False
            try:
                connection = await self._connection()
                number = connection.send(op, fields)
                sent = True
                return _value_of(await self._answer(number))
            except Lost as lost:
                if sent and not repeat:
                    sentence = f"the broker was lost before it answered ({lost}): look before you do it again"
                    raise RequestError("outcome_unknown", sentence) from None
            await _pause(tries)
            tries += 1

    async def stream(self, op: str, fields: Callable[[], Fields]) -> AsyncIterator[Fields]:
        """The items of a stream. `fields` says from where on: it is asked again after each loss of the broker.

        Raises RequestError: what the broker refuses it with, `no_daemon` when there is none for a minute.
        """
        loop = asyncio.get_running_loop()
        reached_at_s, tries = loop.time(), 0
        while True:
            connection = None
            try:
                connection = await _Connection.open(self._path)
                number = connection.send(op, fields())
                async for answer in connection.answers():
                    reached_at_s, tries = loop.time(), 0
                    if answer.get("id") not in (number, None):
                        continue
                    if answer["re"] == "end":
                        return
                    if answer["re"] == "error" and answer.get("code") in _AGAIN:
                        break
                    yield _value_of(answer)
            except Lost as lost:
                if loop.time() - reached_at_s > LOST_S:
                    raise RequestError("no_daemon", f"there is no broker to go on with: {lost}") from None
            finally:
                if connection is not None:
                    connection.close()
            await _pause(tries)
            tries += 1

    def close(self) -> None:
        """Ends the shared connection; who waits is answered `no_daemon`."""
        if self._reading is not None:
            self._reading.cancel()
        if self._shared is not None:
            self._shared.close()

    async def _connection(self) -> _Connection:
        async with self._opening:
            if self._shared is None:
                self._shared = await _Connection.open(self._path)
                self._reading = asyncio.create_task(self._read(self._shared))
            return self._shared

    async def _answer(self, number: int) -> Fields:
        future: asyncio.Future[Fields] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            return await future
        finally:
            self._waiting.pop(number, None)

    async def _read(self, connection: _Connection) -> None:
        reason = "the connection was closed"
        try:
            async for answer in connection.answers():
                future = self._waiting.get(answer.get("id") or 0)
                if future is not None and not future.done():
                    future.set_result(answer)
        except Lost as lost:
            reason = str(lost)
        finally:
            connection.close()
            self._shared = None
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(Lost(reason))


def _value_of(answer: Fields) -> Any:
    if answer["re"] == "error":
        raise RequestError(str(answer.get("code")), str(answer.get("message")), answer.get("data"))
    return answer.get("value")


async def _pause(tries: int) -> None:
    await asyncio.sleep(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)] * (0.5 + random.random()))  # noqa: S311
