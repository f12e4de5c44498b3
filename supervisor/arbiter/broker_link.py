"""The arbiter's end of the socketpair with one broker process.

What is to be said is kept as state, not as a list of messages: the newest fleet and settings, the exits not yet sent, a
drain, a close; answers are as many as were asked for. A broker that stops reading therefore costs one partly sent buffer
and little more, and never blocks the arbiter.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable
from typing import Any, Final

import msgspec

from supervisor.arbiter.handover import LeftLink
from supervisor.arbiter.loop import Loop
from supervisor.wire.codec import decode_from_broker, encode
from supervisor.wire.frame import READ_SIZE, FrameTooLarge, LineBuffer
from supervisor.wire.tree import BrokerMessage, Close, Configure, Done, Drain, Exited, Fleet, Ping

_SEND_BYTES: Final = 64 << 10


class BrokerLink:
    """One channel for the life of one broker. `received` gets its messages; `broken` that it speaks nonsense."""

    def __init__(
        self,
        loop: Loop,
        fleet: Callable[[], Fleet],
        received: Callable[[BrokerMessage], None],
        broken: Callable[[str], None],
        left: LeftLink | None = None,
    ) -> None:
        self._loop = loop
        self._fleet = fleet
        self._received = received
        self._broken = broken
        self._ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._lines = LineBuffer()
        self._sending = b""
        if left is not None:
            self._take_over(left)
        self._ours.setblocking(False)
        self._fleet_is_news = True
        self._exits: dict[str, Exited] = {}
        self._settings: Configure | None = None
        self._answers: list[Done] = []
        self._ping_is_news = False
        self._drain_is_news = False
        self._close_is_news = False

    def begin(self) -> None:
        """After the fork: the broker's end is the broker's alone, and the fleet goes out first."""
        self.theirs.close()
        self._watch(writing=True)

    def _take_over(self, left: LeftLink) -> None:
        """Goes on where the program before this one had come to; the broker has its end already."""
        self._ours.close()
        self.theirs.close()
        self._ours = socket.socket(fileno=left.channel)
        self._sending = left.unsent
        for _ in self._lines.feed(left.unread):
            raise AssertionError("what is left of a line has no end")

    def leave(self) -> LeftLink:
        """What a successor of this program must know. What is to be said is put into words now."""
        half_sent = self._sending
        self._compose()
        self._sending = half_sent + self._sending
        return LeftLink(channel=self._ours.fileno(), unsent=self._sending, unread=self._lines.rest)

    @property
    def is_open(self) -> bool:
        """Whether the broker has not hung up."""
        return self._ours.fileno() >= 0

    def fleet_changed(self) -> None:
        """The newest fleet will be sent."""
        self._fleet_is_news = True
        self._watch(writing=True)

    def tell_exit(self, exited: Exited) -> None:
        """Will be sent once, after a fleet that names it."""
        self._exits[exited.incarnation] = exited
        self._watch(writing=True)

    def configure(self, settings: Configure) -> None:
        """These are the settings from now on."""
        self._settings = settings
        self._watch(writing=True)

    def answer(self, done: Done) -> None:
        """Tells this broker what became of its request, after the fleet that shows it."""
        self._answers.append(done)
        self._watch(writing=True)

    def ping(self) -> None:
        """The broker is to prove that it and its database are alive."""
        self._ping_is_news = True
        self._watch(writing=True)

    def drain(self) -> None:
        """No more leases are to be granted."""
        self._drain_is_news = True
        self._watch(writing=True)

    def close_down(self) -> None:
        """The broker is to finish and exit."""
        self._close_is_news = True
        self._watch(writing=True)

    def dispose(self) -> None:
        """The broker is dead. What it said before is still heard first."""
        if self._ours.fileno() >= 0:
            self._read()
        self._hang_up()
        self.theirs.close()

    def _watch(self, writing: bool) -> None:
        fd = self._ours.fileno()
        if fd >= 0:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
            self._loop.watch(fd, self._turn, events)

    def _hang_up(self) -> None:
        if self._ours.fileno() >= 0:
            self._loop.unwatch(self._ours.fileno())
            self._ours.close()

    def _turn(self) -> None:
        self._read()
        if self._ours.fileno() >= 0:
            self._write()

    def _read(self) -> None:
        while self._ours.fileno() >= 0:
            try:
                data = self._ours.recv(READ_SIZE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                # Its death comes through its pidfd; an open channel to nobody would only keep the loop awake.
                self._hang_up()
                return
            self._hear(data)

    def _hear(self, data: bytes) -> None:
        try:
            for line in self._lines.feed(data):
                self._received(decode_from_broker(line))
        except (FrameTooLarge, msgspec.DecodeError, UnicodeDecodeError) as error:
            self._hang_up()
            self._broken(f"{type(error).__name__}: {error}")

    def _write(self) -> None:
        while self._sending or self._compose():
            try:
                sent = self._ours.send(self._sending[:_SEND_BYTES])
            except BlockingIOError:
                return
            except OSError:
                # The other end is gone; its pidfd says the rest.
                self._hang_up()
                return
            self._sending = self._sending[sent:]
        self._watch(writing=False)

    def _compose(self) -> bool:
        news: list[Any] = []
        if self._fleet_is_news:
            news.append(self._fleet())
        news.extend(self._exits.values())
        if self._settings is not None:
            news.append(self._settings)
        news.extend(self._answers)
        if self._ping_is_news:
            news.append(Ping())
        if self._drain_is_news:
            news.append(Drain())
        if self._close_is_news:
            news.append(Close())
        self._fleet_is_news = self._ping_is_news = self._drain_is_news = self._close_is_news = False
        self._settings = None
        self._answers.clear()
        self._exits.clear()
        self._sending = b"".join(encode(message) for message in news)
        return bool(self._sending)
