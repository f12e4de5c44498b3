"""A job's whole history as a broker streams it: resumable at any position, cut off where a test wants it."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from fake_broker import DROP, STREAMED, Peer


def event(cursor: int, name: str, state: str, attempt: int | None = None, **data: Any) -> dict[str, Any]:
    """An event of job 42."""
    return {
        "cursor": cursor,
        "event": name,
        "job": 42,
        "at": "2026-01-02T03:04:05.123456Z",
        "state": state,
        "attempt": attempt,
        "data": data,
    }


def output(cursor: int, stream: str, attempt: int, offset: int, data: bytes) -> dict[str, Any]:
    """A piece of output as the broker writes it."""
    try:
        text, encoding = data.decode(), "utf-8"
    except UnicodeDecodeError:
        text, encoding = b64encode(data).decode(), "base64"
    return {
        "cursor": cursor,
        "stream": stream,
        "attempt": attempt,
        "offset": offset,
        "data": text,
        "encoding": encoding,
    }


class Story:
    """Two attempts of job 42: each prints on both streams, the first fails.

    Answers `follow` from any position. `cut_after` ends the connection after so many items of each connection;
    `overlap` sends so many bytes again that the client has seen, as a careless broker might.
    """

    out = {1: b"first \xff\x00 attempt\n" * 3, 2: b"second attempt\nno newline"}
    err = {1: b"warning: caf\xc3\xa9\n", 2: b""}

    def __init__(self, cut_after: int | None = None, overlap: int = 0, piece: int = 7) -> None:
        self.cut_after = cut_after
        self.overlap = overlap
        self.piece = piece

    @property
    def stdout(self) -> bytes:
        return self.out[1] + self.out[2]

    @property
    def stderr(self) -> bytes:
        return self.err[1] + self.err[2]

    def items(self, request: Any) -> list[dict[str, Any]]:
        """What is left to send from the request's position.

        Output is sent of the attempt that the request names, and of those that begin after its cursor: who has seen
        an attempt begin, but names an earlier one, would miss its output.
        """
        items: list[dict[str, Any]] = []
        for number, (before, began, ended) in {1: ("submitted", 2, "retrying"), 2: ("due", 5, "completed")}.items():
            events = [event(began - 1, before, "queued"), event(began, "running", "running", number)]
            items += [item for item in events if item["cursor"] > request.after]
            if began > request.after or number == request.attempt:
                items += self._output(request, began, number)
            state = "scheduled" if ended == "retrying" else "completed"
            end = event(began + 1, ended, state, number, reason="exit" if number == 1 else "ok")
            items += [end] if end["cursor"] > request.after else []
        return items

    def _output(self, request: Any, cursor: int, number: int) -> list[dict[str, Any]]:
        pieces: list[dict[str, Any]] = []
        for stream, data in (("stdout", self.out[number]), ("stderr", self.err[number])) if request.output else ():
            start = getattr(request, stream) if number == request.attempt else 0
            for offset in range(max(0, start - self.overlap), len(data), self.piece):
                pieces.append(output(cursor, stream, number, offset, data[offset : offset + self.piece]))
        return pieces

    def __call__(self, request: Any, peer: Peer) -> object:
        for number, item in enumerate(self.items(request)):
            if number == self.cut_after:
                return DROP
            peer.item(item)
        peer.end(6)
        return STREAMED
