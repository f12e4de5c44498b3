"""follow: a job's events and output, to its end, from any cursor.

Every byte comes once and in order: an attempt's output after the event that starts it and before the one that ends
it. What is sent comes from the database and the output files at the follower's own pace, so that a slow follower
costs nothing but its place.
"""

from __future__ import annotations

import asyncio
from typing import Final

from supervisor.broker.chunk import Tail
from supervisor.broker.feed import event_item
from supervisor.broker.service import Service
from supervisor.broker.session import Session
from supervisor.core.names import FINAL_STATES
from supervisor.core.state import Cue
from supervisor.store import events_after, states_of
from supervisor.wire.control import Follow

PAGE: Final = 200
LOOK_AGAIN_S: Final = (0.02, 0.1)
"""How often the output of a running job is looked at: at first, and when it has been silent for a while."""
ENDS_ATTEMPT: Final = frozenset({Cue.COMPLETED, Cue.FAILED, Cue.RETRY, Cue.RELEASED, Cue.CANCELLED})


async def follow(service: Service, session: Session, request: Follow) -> int:
    """Streams until the job is final; returns the cursor."""
    service.check_job(session.caller, request.job)
    following = _Following(service, session, request)
    try:
        return await following.run()
    finally:
        following.close()


class _Following:
    def __init__(self, service: Service, session: Session, request: Follow) -> None:
        self._service = service
        self._session = session
        self._request = request
        self._cursor = request.after
        self._attempt: int | None = None
        self._tails: list[Tail] = []
        if request.attempt is not None:
            self._open(request.attempt, request.stdout, request.stderr)

    async def run(self) -> int:
        pause_s = LOOK_AGAIN_S[0]
        with self._service.feed.bell(self._request.job) as bell:
            while True:
                bell.clear()
                if await self._send_events():
                    continue
                if self._is_final() and not await self._send_events():
                    return self._cursor
                grew = await self._send_output(ended=False)
                pause_s = LOOK_AGAIN_S[0] if grew else min(pause_s * 1.5, LOOK_AGAIN_S[1])
                await _ring(bell, pause_s if self._tails else None)

    def close(self) -> None:
        for tail in self._tails:
            tail.close()
        self._tails = []

    def _open(self, attempt: int, stdout: int = 0, stderr: int = 0) -> None:
        self.close()
        self._attempt = attempt
        if self._request.output:
            place = (self._service.paths, self._request.job, attempt)
            self._tails = [Tail(*place, "stdout", stdout), Tail(*place, "stderr", stderr)]

    def _known_offsets(self, attempt: int) -> tuple[int, int]:
        """Where the client is in this attempt, if it said so; its start may be replayed to it."""
        request = self._request
        return (request.stdout, request.stderr) if attempt == request.attempt else (0, 0)

    def _is_final(self) -> bool:
        return states_of(self._service.reader, [self._request.job]).get(self._request.job) in (*FINAL_STATES, None)

    async def _send_events(self) -> bool:
        events = events_after(self._service.reader, job=self._request.job, after=self._cursor, limit=PAGE)
        for event in events:
            if event.kind in ENDS_ATTEMPT and self._tails:
                await self._send_output(ended=True)
                self.close()
            if event.kind == Cue.LEASED and event.attempt is not None:
                self._open(event.attempt, *self._known_offsets(event.attempt))
            self._cursor = event.id
            await self._session.emit(self._request.id, event_item(event))
        return bool(events)

    async def _send_output(self, *, ended: bool) -> bool:
        grew = False
        for tail in self._tails:
            while (chunk := tail.read(ended=ended)) is not None:
                grew = True
                await self._session.emit(
                    self._request.id,
                    {
                        "cursor": self._cursor,
                        "stream": tail.stream,
                        "attempt": self._attempt,
                        "offset": chunk.offset,
                        "data": chunk.data,
                        "encoding": chunk.encoding,
                    },
                )
        return grew


async def _ring(bell: asyncio.Event, patience_s: float | None) -> None:
    try:
        await asyncio.wait_for(bell.wait(), patience_s)
    except TimeoutError:
        return
