"""Following a job: its events and its output, in order, with neither gap nor repeat.

`Position` is where the next item is expected. Whatever a restarted broker sends again is cut off here, so that
every byte and event is handed on once.
"""

from __future__ import annotations

from base64 import b64decode, b64encode

from supervisor.core.names import RUNNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Event:
    """Something that happened to a job: `event` names it, `at` is RFC 3339 UTC, `state` the state after it."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw
        self.cursor: int = raw["cursor"]
        self.event: str = raw["event"]
        self.job: int | None = raw.get("job")
        self.at: str | None = raw.get("at")
        self.state: str | None = raw.get("state")
        self.attempt: int | None = raw.get("attempt")
        self.data: dict[str, Any] = raw.get("data") or {}

    def __repr__(self) -> str:
        return f"<Event {self.raw!r}>"


class Output:
    """Bytes that a job wrote: `data` begins at byte `offset` of `stream` (stdout, stderr) of that attempt."""

    def __init__(self, cursor: int, stream: str, attempt: int, offset: int, data: bytes) -> None:
        self.cursor = cursor
        self.stream = stream
        self.attempt = attempt
        self.offset = offset
        self.data = data

    @property
    def raw(self) -> dict[str, Any]:
        """As it is on the wire: UTF-8 where it is that, else base64."""
        try:
            text, encoding = self.data.decode(), "utf-8"
        except UnicodeDecodeError:
            text, encoding = b64encode(self.data).decode(), "base64"
        return {
            "cursor": self.cursor,
            "stream": self.stream,
            "attempt": self.attempt,
            "offset": self.offset,
            "data": text,
            "encoding": encoding,
        }

    def __repr__(self) -> str:
        return f"<Output {self.stream} of attempt {self.attempt} at {self.offset}: {len(self.data)} bytes>"


def bytes_of(value: dict[str, Any]) -> bytes:
    """The bytes of a `data`/`encoding` pair."""
    data: str = value["data"]
    return b64decode(data) if value.get("encoding") == "base64" else data.encode()


class Position:
    """Where a follower is: the last event seen, and the next byte of each stream of an attempt."""

    def __init__(self, after: int = 0, attempt: int | None = None, stdout: int = 0, stderr: int = 0) -> None:
        self.after = after
        self.attempt = attempt
        self.next_byte = {"stdout": stdout, "stderr": stderr}

    def fields(self) -> dict[str, Any]:
        """The request's fields that resume here."""
        fields: dict[str, Any] = {"after": self.after, **self.next_byte}
        if self.attempt is not None:
            fields["attempt"] = self.attempt
        return fields

    def accept(self, value: dict[str, Any]) -> Event | Output | None:
        """The item of `value`, cut to what was not seen before; None if nothing is left. Moves the position."""
        return self._output(value) if "stream" in value else self._event(value)

    def _event(self, value: dict[str, Any]) -> Event | None:
        event = Event(value)
        if event.cursor <= self.after:
            return None
        self.after = event.cursor
        if event.event == RUNNING and event.attempt is not None:
            self._reach(event.attempt)
        return event

    def _output(self, value: dict[str, Any]) -> Output | None:
        stream: str = value["stream"]
        attempt: int = value["attempt"]
        offset: int = value["offset"]
        data = bytes_of(value)
        if self.attempt is not None and attempt < self.attempt:
            return None
        self._reach(attempt)
        seen = self.next_byte[stream] - offset
        if seen > 0:
            data, offset = data[seen:], offset + seen
        if not data:
            return None
        self.next_byte[stream] = offset + len(data)
        return Output(value["cursor"], stream, attempt, offset, data)

    def _reach(self, attempt: int) -> None:
        """A later attempt begins at its first byte; without its number a broker could not resume in it."""
        if self.attempt is None:
            self.attempt = attempt
        elif attempt > self.attempt:
            self.attempt = attempt
            self.next_byte = {"stdout": 0, "stderr": 0}
