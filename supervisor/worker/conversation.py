"""What the worker and the broker say to each other: who I am, a lease please, how it ended, how far it is.

Invariant: one thing at a time is wanted of the broker: either an outcome is being acknowledged or a lease is asked for.
An outcome is repeated until it is acknowledged, over any number of connections and brokers; the same settle twice is
harmless. It never decides about a job.
"""

from __future__ import annotations

from typing import Final, Protocol

import msgspec
from loguru import logger

from supervisor.core.job import Progress
from supervisor.wire.control import Request
from supervisor.wire.lease import NULL, Attach, Lease, Next, Order, Release, Report, Settle, Settled, Standby
from supervisor.worker.link import Answer, Link, value_of

REPEAT_S: Final = 0.5
REPEAT_CAP_S: Final = 10.0
"""Between repeats of a settle that the broker could not store: at first, and at most."""


class Side(Protocol):
    """The worker, as its conversation knows it."""

    def introduce(self) -> Attach:
        """Who it is and which lease it runs; the number is filled in here."""

    def wants_lease(self) -> bool:
        """Whether it is free."""

    def take(self, lease: Lease, now: float) -> None:
        """A lease came."""

    def cancel(self, lease: int, now: float) -> None:
        """The job of a lease was cancelled."""


class Conversation:
    """The state of the talk. `settling` is True from an outcome until its acknowledgement."""

    def __init__(self, link: Link, side: Side) -> None:
        self._link = link
        self._side = side
        self._number = 0
        self._attached = False
        self._attach_id = -1
        self._next_id: int | None = None
        self._settle_id: int | None = None
        self._settle: Settle | Release | None = None
        self._settle_at: float | None = None
        self._repeat_s = REPEAT_S
        self._standby: Standby | None = None

    @property
    def settling(self) -> bool:
        """Whether an outcome is not acknowledged yet."""
        return self._settle is not None

    def next_time(self) -> float | None:
        """When `on_time` is wanted, in monotonic seconds."""
        times = [at for at in (self._link.retry_at, self._settle_at) if at is not None]
        return min(times) if times else None

    def on_time(self, now: float) -> None:
        """Connects, or repeats, if it is time."""
        if self._link.connect(now):
            self._introduce()
        if self._settle_at is not None and now >= self._settle_at:
            self._send_settle()

    def on_link(self, now: float) -> None:
        """Something came, or can be sent, or the connection is lost."""
        self._link.flush()
        for answer in self._link.receive(now):
            self._hear(answer, now)
        if not self._link.open:
            self._attached = False
            self._next_id = self._settle_id = None

    def go_on(self) -> None:
        """Asks for a lease, if the worker wants one now and did not before."""
        if self._attached and self._settle is None:
            self._go_on()

    def settle(self, message: Settle | Release) -> None:
        """Says how a lease ended, until that is acknowledged."""
        self._settle = message
        self._send_settle()

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
        if isinstance(self._settle, Settle):
            attach.holding = (*attach.holding, self._settle.lease)
        self._attach_id = self._say(attach)

    def _hear(self, answer: Answer, now: float) -> None:
        if answer.id == self._attach_id:
            self._on_attach(answer, now)
        elif answer.id == self._next_id:
            self._next_id = None
            if answer.re == "ok":
                self._side.take(value_of(answer, Lease), now)
            else:
                self._ask_later(answer, now)
        elif answer.id == self._settle_id:
            self._settle_id = None
            self._on_settled(answer, now)

    def _on_attach(self, answer: Answer, now: float) -> None:
        if answer.re == "item":
            self._side.cancel(value_of(answer, Order).cancel, now)
        elif answer.re == "ok":
            self._attached = True
            self._standby = None
            self._go_on()
        else:
            self._ask_later(answer, now)

    def _go_on(self) -> None:
        """Says what is to be said in the present state: an outcome, or that a lease is wanted."""
        if self._settle is not None:
            self._send_settle()
        elif self._next_id is None and self._attached and self._side.wants_lease():
            self._next_id = self._say(Next(id=0))

    def _ask_later(self, answer: Answer, now: float) -> None:
        logger.warning("the broker refused: {} ({})", answer.message, answer.code)
        self._link.close()
        self._link.postpone(now + REPEAT_S)
        self._attached = False

    def _send_settle(self) -> None:
        self._settle_at = None
        if self._settle is not None and self._attached and self._settle_id is None:
            self._settle_id = self._say(self._settle)

    def _on_settled(self, answer: Answer, now: float) -> None:
        if answer.re == "error" and answer.code != "stale_lease":
            self._repeat_later(answer, now)
            return
        self._repeat_s = REPEAT_S
        settled, self._settle = self._settle, None
        if answer.re == "ok" and isinstance(settled, Settle):
            following = value_of(answer, Settled).lease
            if following is not None:
                self._side.take(following, now)
                return
        self._go_on()

    def _repeat_later(self, answer: Answer, now: float) -> None:
        logger.warning("an outcome could not be stored, repeating: {} ({})", answer.message, answer.code)
        if answer.code == "bad_request" and isinstance(self._settle, Settle):
            self._settle.result, self._settle.progress = NULL, None
        self._settle_at = now + self._repeat_s
        self._repeat_s = min(REPEAT_CAP_S, self._repeat_s * 2)
