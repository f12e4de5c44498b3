"""events: what happened to jobs, workers and the daemon, oldest first, from any cursor; and what happens from now on.

A member of the group is sent the events of its own jobs alone. Each is sent at the reader's own pace from the
database: a slow one costs nothing but its place, and is told `lagged`.
"""

from __future__ import annotations

import asyncio
from typing import Final

from supervisor.broker.feed import event_item
from supervisor.broker.service import Caller, Service
from supervisor.broker.session import Session
from supervisor.core.errors import RequestError
from supervisor.store import Event, before_newest, events_after, last_event_id, owners_of
from supervisor.wire.control import Events

PAGE: Final = 200
USUAL: Final = 100


async def events(service: Service, session: Session, request: Events) -> int:
    """Streams to the present, or without end; returns the cursor."""
    if request.job is not None:
        service.check_job(session.caller, request.job)
    if request.follow and request.after is not None and request.limit is not None:
        raise RequestError(
            "bad_request",
            "`limit` says with how many of the past one begins who gives no `after`: give one of the two, or do not follow",
        )
    return await _Reading(service, session, request).run()


class _Reading:
    def __init__(self, service: Service, session: Session, request: Events) -> None:
        self._service = service
        self._session = session
        self._request = request
        self._cursor = 0
        self._left: int | None = None

    async def run(self) -> int:
        request = self._request
        with self._service.feed.bell(request.job) if request.job else self._service.feed.common_bell() as bell:
            present = last_event_id(self._service.reader)
            self._begin(present)
            if not request.follow:
                while self._cursor < present and self._left != 0 and await self._page():
                    pass
                return self._cursor
            while True:
                bell.clear()
                while await self._page():
                    pass
                await bell.wait()

    def _begin(self, present: int) -> None:
        request, caller = self._request, self._session.caller
        if request.after is not None:
            self._cursor, self._left = request.after, request.limit
            return
        newest = USUAL if request.limit is None else request.limit
        self._cursor = before_newest(
            self._service.reader, newest, last=present, job=request.job, owner_uid=_only_of(caller)
        )
        self._left = None if request.follow else newest

    async def _page(self) -> bool:
        """Sends the next events that may be seen; returns whether there were any events at all."""
        await asyncio.sleep(0)  # others first: a long history is no reason to let them wait
        page = events_after(self._service.reader, job=self._request.job, after=self._cursor, limit=PAGE)
        for event in self._visible(page):
            if self._left == 0:
                return False
            await self._session.emit(self._request.id, event_item(event))
            self._cursor = event.id
            self._left = None if self._left is None else self._left - 1
        if page and self._left != 0:
            self._cursor = page[-1].id
        return bool(page)

    def _visible(self, page: list[Event]) -> list[Event]:
        uid = _only_of(self._session.caller)
        if uid is None or self._request.job is not None:
            return page
        owners = owners_of(self._service.reader, {event.job for event in page if event.job is not None})
        return [event for event in page if event.job is not None and owners.get(event.job) == uid]


def _only_of(caller: Caller) -> int | None:
    """Whose jobs alone the caller may watch; None: everybody's."""
    return None if caller.is_admin else caller.uid
