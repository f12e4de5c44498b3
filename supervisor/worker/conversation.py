"""What the worker and the broker say to each other: who I am, leases please, how they ended, how far one is.

Invariant: an outcome is repeated until it is acknowledged, over any number of connections and brokers, and outcomes are
said in the order in which they came; the same settle twice is harmless. It never decides about a job.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec
from loguru import logger

from supervisor.core.job import Progress
from supervisor.wire.control import Request
from supervisor.wire.lease import NULL, Attach, Lease, Leased, Next, Order, Release, Report, Settle, Settled, Standby
from supervisor.worker.link import Answer, Link

REPEAT_S: Final = 0.5
REPEAT_CAP_S: Final = 10.0
"""Between repeats of a settle that the broker could not store: at first, and at most."""

_decode_leased: Final = msgspec.json.Decoder(Leased).decode
_decode_settled: Final = msgspec.json.Decoder(Settled).decode
_decode_order: Final = msgspec.json.Decoder(Order).decode


class Side(Protocol):
    """The worker, as its conversation knows it."""

    def introduce(self) -> Attach:
        """Who it is and which leases it has; the number is filled in here."""

    def wants_leases(self) -> int:
        """How many it takes now that it has none; 0 while it is not free."""

    def take(self, leases: Sequence[Lease], now: float) -> None:
        """Leases came."""

    def cancel(self, lease: int, now: float) -> None:
        """The job of a lease was cancelled."""


@dataclass(slots=True)
class _Word:
    """What is to be said of a lease. `id` is the request under way on the present connection."""

    message: Settle | Release
    id: int | None = None

    @property
    def asks(self) -> int:
        """For how many leases it asks."""
        return self.message.most if isinstance(self.message, Settle) and self.message.next else 0


class Conversation:
    """The state of the talk. `settling` is True from an outcome until its acknowledgement.

    `asked` is how many leases may be on their way.
    """

    def __init__(self, link: Link, side: Side) -> None:
        self.asked = 0
        self._link = link
        self._side = side
        self._number = 0
        self._attached = False
        self._attach_id = -1
        self._next_id: int | None = None
        self._words: dict[int, _Word] = {}
        self._unsaid = 0
        self._settle_at: float | None = None
        self._repeat_s = REPEAT_S
        self._standby: Standby | None = None

    @property
    def settling(self) -> bool:
        """Whether an outcome is not acknowledged yet."""
        return bool(self._words)

    @property
    def has_said_all(self) -> bool:
        """Whether every outcome is on its way: the broker learns of it even if we die now."""
        return not self._unsaid and (not self._words or self._link.has_sent)

    def next_time(self) -> float | None:
        """When `on_time` is wanted, in monotonic seconds."""
        retry_at, settle_at = self._link.retry_at, self._settle_at
        if retry_at is None or settle_at is None:
            return settle_at if retry_at is None else retry_at
        return min(retry_at, settle_at)

    def on_time(self, now: float) -> None:
        """Connects, or repeats, if it is time."""
        if self._link.connect(now):
            self._introduce()
        if self._settle_at is not None and now >= self._settle_at:
            self._say_words()

    def on_link(self, now: float) -> None:
        """Something came, or can be sent, or the connection is lost."""
        self._link.flush()
        for answer in self._link.receive(now):
            self._hear(answer, now)
        if not self._link.open:
            self._forget_requests()

    def go_on(self) -> None:
        """Asks for leases, if the worker wants some now and did not before."""
        if self._attached and not self._words:
            self._go_on()

    def settle(self, message: Settle | Release) -> None:
        """Says how a lease ended, until that is acknowledged."""
        self._words[message.lease] = word = _Word(message)
        self._unsaid += 1
        self._say_word(word)

    def stand_by(self, standby: Standby | None) -> None:
        """Says what is kept ready, if that is news to this broker."""
        if standby is not None and self._attached and standby != self._standby:
            self._standby = standby
            self._say(msgspec.structs.replace(standby))

    def forget_standby(self) -> None:
        """With a lease the broker has forgotten what was kept ready."""
        self._standby = None

    def report(self, lease: int, progress: Progress) -> None:
        """Says how far a job is; lost with the connection, since the outcome says it again."""
        if self._attached:
            self._say(Report(id=0, lease=lease, progress=progress))

    @property
    def hears(self) -> bool:
        """Whether a broker listens now."""
        return self._attached

    def close(self) -> None:
        """Ends the connection."""
        self._link.close()

    def _say(self, request: Request) -> int:
        self._number += 1
        request.id = self._number
        self._link.send(request)
        return self._number

    def _introduce(self) -> None:
        attach = self._side.introduce()
        ended = (lease for lease, word in self._words.items() if isinstance(word.message, Settle))
        attach.holding = (*ended, *attach.holding)
        self._attach_id = self._say(attach)

    def _forget_requests(self) -> None:
        """What was under way on a connection that is lost has to be said again on the next one."""
        self._attached = False
        self._next_id = None
        self.asked = 0
        self._unsaid = len(self._words)
        for word in self._words.values():
            word.id = None

    def _hear(self, answer: Answer, now: float) -> None:
        if answer.id == self._attach_id:
            self._on_attach(answer, now)
        elif answer.id == self._next_id:
            self._on_next(answer, now)
        else:
            for lease, word in self._words.items():
                if answer.id == word.id:
                    self._on_settled(lease, word, answer, now)
                    return

    def _on_attach(self, answer: Answer, now: float) -> None:
        if answer.re == "item":
            self._side.cancel(_decode_order(answer.value).cancel, now)
        elif answer.re == "ok":
            self._attached = True
            self._standby = None
            self._go_on()
        else:
            self._ask_later(answer, now)

    def _on_next(self, answer: Answer, now: float) -> None:
        self._next_id = None
        self.asked = 0
        if answer.re == "ok":
            leased = _decode_leased(answer.value)
            self._side.take((leased, *leased.more), now)
        else:
            self._ask_later(answer, now)

    def _go_on(self) -> None:
        """Says what is to be said in the present state: outcomes, or that leases are wanted."""
        if self._words:
            self._say_words()
        elif self._next_id is None and self._attached and (most := self._side.wants_leases()):
            self._next_id = self._say(Next(id=0, most=most))
            self.asked = most

    def _ask_later(self, answer: Answer, now: float) -> None:
        logger.warning("the broker refused: {} ({})", answer.message, answer.code)
        self._link.close()
        self._link.postpone(now + REPEAT_S)
        self._forget_requests()

    def _say_words(self) -> None:
        self._settle_at = None
        for word in self._words.values():
            self._say_word(word)

    def _say_word(self, word: _Word) -> None:
        if self._attached and word.id is None:
            word.id = self._say(word.message)
            self.asked += word.asks
            self._unsaid -= 1

    def _on_settled(self, lease: int, word: _Word, answer: Answer, now: float) -> None:
        self.asked -= word.asks
        if answer.re == "error" and answer.code != "stale_lease":
            self._repeat_later(word, answer, now)
            return
        self._repeat_s = REPEAT_S
        del self._words[lease]
        if answer.re == "ok" and isinstance(word.message, Settle) and (leases := _decode_settled(answer.value).leases):
            self._side.take(leases, now)
        else:
            self.go_on()

    def _repeat_later(self, word: _Word, answer: Answer, now: float) -> None:
        logger.warning("an outcome could not be stored, repeating: {} ({})", answer.message, answer.code)
        word.id = None
        self._unsaid += 1
        if answer.code == "bad_request" and isinstance(word.message, Settle):
            word.message.result, word.message.progress = NULL, None
        self._settle_at = now + self._repeat_s
        self._repeat_s = min(REPEAT_CAP_S, self._repeat_s * 2)
