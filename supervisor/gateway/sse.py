"""Events as they happen, as server-sent events.

A frame of an event has its cursor as `id`; a frame of output has none, so that `Last-Event-ID` is always an event's. A
stream that is resumed is exactly the events after that id. Each stream has a connection to the broker of its own and is
read as fast as its client reads: who stalls is dropped, and holds up nobody.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Final

import msgspec
from loguru import logger
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from supervisor.core.errors import RequestError
from supervisor.gateway import asked
from supervisor.gateway.link import Link
from supervisor.gateway.meter import Meter
from supervisor.gateway.records import EventsQuery, JobEventsQuery

MOST_STREAMS: Final = 128
LOOK_BACK: Final = (100, 1000, 10_000)
"""So many of a job's newest events are looked at to find out which attempt was running at a cursor."""
OUTPUT: Final = "output"
ENDS_ATTEMPT: Final = frozenset({"completed", "failed", "retrying", "released", "cancelled"})
_BEAT: Final = b": still here\n\n"


class Place:
    """How far a reader of a job is: what `follow` must be told to go on exactly there."""

    def __init__(self, job: int, after: int, attempt: int | None, stdout: int, stderr: int, *, output: bool) -> None:
        self._job = job
        self._after = after
        self._attempt = attempt
        self._offsets = {"stdout": stdout, "stderr": stderr}
        self._output = output

    def fields(self) -> dict[str, Any]:
        """Of the `follow` that goes on here."""
        place = {"job": self._job, "after": self._after, "output": self._output, **self._offsets}
        return place if self._attempt is None else {**place, "attempt": self._attempt}

    def passed(self, item: dict[str, Any]) -> None:
        """This was sent."""
        if "stream" in item:
            self._move_to(item["attempt"])
            self._offsets[item["stream"]] = item["offset"] + _size_of(item)
            return
        self._after = item["cursor"]
        if item["event"] == "running":
            self._move_to(item["attempt"])

    def _move_to(self, attempt: int) -> None:
        if attempt != self._attempt:
            self._attempt = attempt
            self._offsets = {"stdout": 0, "stderr": 0}


class Streams:
    """The handlers of both kinds of streams."""

    def __init__(self, link: Link, meter: Meter, heartbeat_s: float) -> None:
        self._link = link
        self._meter = meter
        self._heartbeat_s = heartbeat_s
        self._open = 0

    async def of_job(self, request: Request) -> Response:
        """Everything of a job, to its end; then the stream is closed."""
        job, query = asked.job_of(request), asked.query_of(request, JobEventsQuery)
        await self._check(job)
        after = asked.last_event_of(request)
        after = (query.after or 0) if after is None else after
        attempt = query.attempt
        if attempt is None and after and query.output:
            attempt = await self._attempt_at(job, after)
        place = Place(job, after, attempt, query.stdout, query.stderr, output=query.output)
        return self._respond(request, self._link.stream("follow", place.fields), place.passed, after)

    async def of_all(self, request: Request) -> Response:
        """Everything that happens from a cursor on, or from now on, without end."""
        query = asked.query_of(request, EventsQuery)
        after = asked.last_event_of(request)
        if after is None:
            after = query.after
        if after is None:
            after = int((await self._link.ask("status"))["cursor"])
        if query.job is not None:
            await self._check(query.job)
        cursor = after

        def fields() -> dict[str, Any]:
            return {"after": cursor, "job": query.job, "follow": True}

        def passed(item: dict[str, Any]) -> None:
            nonlocal cursor
            cursor = item["cursor"]

        return self._respond(request, self._link.stream("events", fields), passed, after)

    async def _check(self, job: int) -> None:
        """Raises `not_found` while a status can still be given: a stream of no events ends at once."""
        await self._link.ask("events", {"job": job, "limit": 0})

    async def _attempt_at(self, job: int, after: int) -> int | None:
        """The attempt that was running just after the event `after`: its output is not over, and is told again."""
        for count in LOOK_BACK:
            events = [item async for item in self._link.stream("events", lambda: {"job": job, "limit": count})]  # noqa: B023
            known = [item for item in events if item["cursor"] <= after]
            for item in reversed(known):
                if item["event"] == "running":
                    return int(item["attempt"])
                if item["event"] in ENDS_ATTEMPT:
                    return None
            if len(events) < count:
                return None
        return None

    def _respond(self, request: Request, items: AsyncIterator[dict[str, Any]], passed: Any, after: int) -> Response:
        if self._open >= MOST_STREAMS:
            raise RequestError("busy", f"{MOST_STREAMS} streams of events are open already")
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Last-Event-ID": str(after)}
        if request.method == "HEAD":
            # It has no body whose end it could wait for.
            return Response(headers=headers, media_type="text/event-stream")
        # Counted before anything is awaited: requests that come together are looked at together.
        self._count(+1)
        stream = _Stream(self._frames(items, passed), headers=headers, media_type="text/event-stream")
        stream.on_end = lambda: self._count(-1)
        return stream

    def _count(self, change: int) -> None:
        self._open += change
        self._meter.streams.set(self._open)

    async def _frames(self, items: Any, passed: Any) -> AsyncIterator[bytes]:
        try:
            # At once, so that a client knows that it is connected.
            yield _BEAT
            async with aclosing(with_beats(items, self._heartbeat_s)) as beaten:
                async for item in beaten:
                    if item is None:
                        yield _BEAT
                    else:
                        yield frame_of(item)
                        passed(item)
        except RequestError as error:
            logger.info("a stream of events ended early: {}", error)
            yield _frame("problem", {"code": error.code, "detail": error.message})


class _Stream(StreamingResponse):
    """Calls `on_end` once, also where its client is gone before the first frame."""

    on_end: Callable[[], None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.on_end()


async def with_beats(items: Any, heartbeat_s: float) -> AsyncGenerator[dict[str, Any] | None, None]:
    """The items, and None whenever there was none for `heartbeat_s`. The source is never cancelled for that."""
    pending: asyncio.Future[Any] | None = None
    try:
        while True:
            if pending is None:
                pending = asyncio.ensure_future(anext(items))
            done, _ = await asyncio.wait({pending}, timeout=heartbeat_s)
            if not done:
                yield None
                continue
            ended, pending = pending, None
            try:
                item = ended.result()
            except StopAsyncIteration:
                return
            yield item
    finally:
        if pending is not None:
            pending.cancel()
            await asyncio.wait({pending})
        await items.aclose()


def frame_of(item: dict[str, Any]) -> bytes:
    """An item of the broker's as a frame."""
    if "stream" in item:
        return _frame(OUTPUT, {name: item[name] for name in ("attempt", "stream", "offset", "data", "encoding")})
    return b"id: %d\n%b" % (item["cursor"], _frame(item["event"], item))


def _frame(event: str, data: Any) -> bytes:
    # JSON as msgspec writes it has no line breaks.
    return b"event: %b\ndata: %b\n\n" % (event.encode(), msgspec.json.encode(data))


def _size_of(item: dict[str, Any]) -> int:
    return len(base64.b64decode(item["data"])) if item["encoding"] == "base64" else len(item["data"].encode())
