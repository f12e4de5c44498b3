"""The worker's connection to the broker: connects, reconnects, and keeps the frames in order. It never blocks.

A lost connection loses no work: what must be said is said again by the worker after `on_open`. Requests that were
under way when it broke are forgotten here, and so are their answers.
"""

from __future__ import annotations

import selectors
import socket
from typing import Final

import msgspec
from loguru import logger

from supervisor.wire.codec import encode
from supervisor.wire.control import Request
from supervisor.wire.frame import MAX_ANSWER, READ_SIZE, FrameTooLarge, LineBuffer

RECONNECT_S: Final = 0.05
RECONNECT_CAP_S: Final = 1.0


class Answer(msgspec.Struct, frozen=True):
    """One answer of the broker: `re` says which kind."""

    re: str
    id: int | None = None
    value: msgspec.Raw = msgspec.Raw(b"null")
    code: str = ""
    message: str = ""


_decoder: Final = msgspec.json.Decoder(Answer)


class Link:
    """A non-blocking connection to the control socket, registered with the worker's selector while it is open."""

    def __init__(self, path: str, selector: selectors.BaseSelector) -> None:
        self._path = path
        self._selector = selector
        self._socket: socket.socket | None = None
        self._lines = LineBuffer(MAX_ANSWER)
        self._unsent = bytearray()
        self._waits_to_send = False
        self._retry_at = 0.0
        self._retry_s = RECONNECT_S

    @property
    def open(self) -> bool:
        """Whether there is a connection now."""
        return self._socket is not None

    @property
    def has_sent(self) -> bool:
        """Whether the kernel has all that was said: whatever happens to us, the broker reads it."""
        return self.open and not self._unsent

    @property
    def retry_at(self) -> float | None:
        """When to try again, in monotonic seconds; None while connected."""
        return None if self.open else self._retry_at

    def connect(self, now: float) -> bool:
        """Tries once, if it is time; returns whether a new connection stands."""
        if self.open or now < self._retry_at:
            return False
        attempt = None
        try:
            attempt = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            attempt.setblocking(False)
            attempt.connect(self._path)
        except OSError:  # nobody listens now, or no descriptor is free for it
            if attempt is not None:
                attempt.close()
            self._retry_at = now + self._retry_s
            self._retry_s = min(RECONNECT_CAP_S, self._retry_s * 2)
            return False
        self._socket = attempt
        self._lines = LineBuffer(MAX_ANSWER)
        self._unsent.clear()
        self._retry_s = RECONNECT_S
        self._waits_to_send = False
        self._selector.register(attempt, selectors.EVENT_READ, "link")
        return True

    def send(self, request: Request) -> None:
        """Queues a request; a broken connection shows at the next `receive`."""
        if self._socket is None:
            return
        self._unsent += encode(request)
        self.flush()

    def flush(self) -> None:
        """Sends what the kernel takes."""
        if self._socket is None:
            return
        try:
            while self._unsent:
                sent = self._socket.send(self._unsent)
                del self._unsent[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent.clear()
        if self._waits_to_send != bool(self._unsent):
            self._waits_to_send = bool(self._unsent)
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
            self._selector.modify(self._socket, events, "link")

    def receive(self, now: float) -> list[Answer]:
        """The answers that have come. After them the connection may be closed: `open` tells."""
        if self._socket is None:
            return []
        answers: list[Answer] = []
        try:
            while True:
                data = self._socket.recv(READ_SIZE)
                if not data:
                    self._lost(now)
                    break
                answers += [_decoder.decode(line) for line in self._lines.feed(data)]
                if len(data) < READ_SIZE:
                    break  # the selector tells of what comes after
        except BlockingIOError:
            pass
        except OSError:
            self._lost(now)
        except (msgspec.DecodeError, FrameTooLarge) as error:
            logger.error("the broker sent something unreadable, reconnecting: {}", error)
            self._lost(now)
        return answers

    def postpone(self, until: float) -> None:
        """Tries no new connection before `until`."""
        self._retry_at = until

    def close(self) -> None:
        """Ends the connection."""
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._socket = None

    def _lost(self, now: float) -> None:
        self.close()
        self._retry_at = now
