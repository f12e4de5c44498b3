"""Events of jobs, workers and the daemon, from a cursor on: with neither gap nor repeat, whatever restarts meanwhile."""

from __future__ import annotations

from ctl.follow import Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ctl.session import Session


def past(session: Session, job: int | None, after: int | None, limit: int | None) -> Iterator[Event]:
    """To the present: the first `limit` after a cursor, or without one the newest `limit`."""
    return _stream(session, {"job": job, "after": after, "limit": limit}, follow=False)


def follow(session: Session, job: int | None, after: int | None, limit: int | None) -> Iterator[Event]:
    """On and on: from a cursor, or without one from the newest `limit`."""
    if after is None:
        # A cursor from before the first look: what happens between the two is in one of them.
        after = int(session.call("status", {})["cursor"])
        for event in past(session, job, None, limit or 0):
            after = max(after, event.cursor)
            yield event
    yield from _stream(session, {"job": job, "after": after}, follow=True)


def _stream(session: Session, asked: dict[str, int | None], *, follow: bool) -> Iterator[Event]:
    position = dict(asked)

    def fields() -> dict[str, Any]:
        return {"follow": follow, **{name: value for name, value in position.items() if value is not None}}

    for value in session.stream("events", fields):
        event = Event(value)
        position["after"] = event.cursor
        if (left := position.get("limit")) is not None:
            position["limit"] = left - 1
        yield event
