"""Carries out what the lease desk decides: claims in the writer's transactions, answers, give-backs, cancels."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

import msgspec
from loguru import logger

from supervisor.broker.commit import Committer
from supervisor.broker.desk import Action, Claim, GiveBack, Grant, LeaseDesk
from supervisor.broker.situation import takers_among
from supervisor.config import Pool, Settings
from supervisor.core.errors import RequestError
from supervisor.core.names import ISOLATION
from supervisor.store import Tx, ask_again, claim_many, release
from supervisor.wire.lease import Attach, Lease, Leased, Order, Standby

CLAIM_AGAIN_S: Final = 1.0


class WorkerConnection(Protocol):
    """What a worker's session offers."""

    attach: Attach | None

    def answer_soon(self, request: int, value: object) -> None:
        """Answers a request, with what else is answered until `flush`."""

    def flush(self) -> None:
        """Sends what was to be answered soon."""

    def item(self, request: int, value: object) -> None:
        """Sends an item of a stream."""


@dataclass
class Seat:
    """An attached worker: its connection, what it said of itself, the stream for orders, the leases it has.

    `held` are these with their jobs, in the order in which it runs them; `most` is how many it asked for.
    """

    session: WorkerConnection
    attach: Attach
    stream: int
    held: dict[int, int] = field(default_factory=dict)
    most: int = 1
    standby: Standby | None = None

    @property
    def lease(self) -> int | None:
        """The one that runs, or has ended just now."""
        return next(iter(self.held), None)

    @property
    def job(self) -> int | None:
        """Its job."""
        return next(iter(self.held.values()), None)


@dataclass
class Leases:
    """The attached workers by connection, and the desk that decides."""

    settings: Settings
    committer: Committer
    desk: LeaseDesk = field(default_factory=LeaseDesk)
    leaving: frozenset[str] = frozenset()
    """The incarnations that were told to leave: they get no more leases."""
    _held_back: set[str] = field(default_factory=set)
    """Queues that a claim has passed over at their cap. The writer's thread adds, the loop takes them all away."""
    _seats: dict[int, Seat] = field(default_factory=dict)
    _granted: dict[int, list[Lease]] = field(default_factory=dict)
    """By the first lease of each grant: those that were claimed and are not handed over yet."""
    _answered: dict[WorkerConnection, None] = field(default_factory=dict)
    _types: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def pools(self) -> tuple[Pool, ...]:
        """Every pool with the types that it takes: those of its table, else what its handler's class has said."""
        return tuple(self._with_types(pool) for pool in self.settings.pools.values())

    def _with_types(self, pool: Pool) -> Pool:
        return pool if pool.types else msgspec.structs.replace(pool, types=self._types.get(pool.name, ()))

    def seats(self) -> dict[str, Seat]:
        """The attached workers by name."""
        return {seat.attach.worker: seat for seat in self._seats.values()}

    def attached(self) -> list[Attach]:
        """What each attached worker said of itself."""
        return [seat.attach for seat in self._seats.values()]

    def sandboxed(self) -> dict[str, Seat]:
        """Those of them that run scripts: a handler is kept apart from nothing, and tells nothing of this machine."""
        return {name: seat for name, seat in self.seats().items() if seat.attach.isolation in ("", *ISOLATION)}

    def seat(self, connection: int) -> Seat | None:
        """The attached worker behind a connection."""
        return self._seats.get(connection)

    def attach(self, connection: int, seat: Seat) -> None:
        """A worker is here."""
        self.desk.attach(connection, seat.attach.incarnation)
        before, self._types[seat.attach.pool] = self._types.get(seat.attach.pool, ()), seat.attach.types
        self._seats[connection] = seat
        if seat.attach.types != before:
            self.takers_changed()

    def leave(self, connection: int) -> None:
        """A worker's connection is gone; what it holds stays its own until its process is known to be dead."""
        self.desk.leave(connection)
        self._seats.pop(connection, None)

    def want(self, connection: int, request: int, most: int) -> None:
        """A worker that has none asks for a lease, or for so many at most."""
        seat = self._seats.get(connection)
        if seat is not None:
            seat.held.clear()
            seat.most = most
        self._do(self.desk.want(connection, request))

    def work_arrived(self) -> None:
        """Something was queued."""
        self._do(self.desk.work_arrived())

    def takers_changed(self, after: int = 0) -> None:
        """Pools take other jobs than before: of those that some have declined, some are for nobody else now."""

        def looked(done: int | Exception | None) -> None:
            if isinstance(done, Exception):
                logger.warning("declined jobs could not be looked at: {}", done)
            elif done is not None:
                self.takers_changed(done)
            self.work_arrived()

        takers_of = partial(takers_among, self.pools())
        self.committer.do(partial(ask_again, takers_of=takers_of, after=after), looked, essential=True)

    def attempt_ended(self) -> None:
        """A job runs no longer: if its queue was at its cap, free workers may take another one."""
        if self._held_back:
            # HAZARD: first forget, then ask. Whoever is passed over again is noted again, later than this.
            self._held_back = set()
            self.work_arrived()

    def hold(self, on: bool) -> None:
        """Whether an operator wants no more leases to be granted for now."""
        if on != self.desk.held:
            self._do(self.desk.hold(on))

    def takes(self, connection: int, leases: Iterable[Lease]) -> None:
        """Notes what a worker is given."""
        seat = self._seats.get(connection)
        if seat is not None:
            for lease in leases:
                seat.held[lease.lease] = lease.job
                if seat.standby is not None:
                    seat.standby.spare = None

    def gives(self, connection: int, lease: int) -> None:
        """Notes that a worker has this no more."""
        seat = self._seats.get(connection)
        if seat is not None:
            seat.held.pop(lease, None)

    def answer(self, session: WorkerConnection, request: int, value: object) -> None:
        """Answers a worker, with what else a commit brings it."""
        session.answer_soon(request, value)
        self._answered[session] = None

    def flush(self) -> None:
        """All that a commit brings has been answered."""
        if self._answered:
            answered, self._answered = self._answered, {}
            for session in answered:
                session.flush()

    def claim_for(self, connection: int, tx: Tx, most: int) -> list[Lease]:
        """The best leases for a worker, within a transaction."""
        seat = self._seats.get(connection)
        if seat is None or self.desk.closed or self.desk.held or not seat.attach.isolation:
            return []
        pool = self.settings.pools.get(seat.attach.pool)
        if pool is None or seat.attach.incarnation in self.leaving:
            return []
        # One that is older than a reload takes only what it was started for.
        pool = self._with_types(pool)
        known = set(seat.attach.types or pool.types) - set(seat.attach.missing)
        types = [kind for kind in pool.types if kind in known]
        if not types:
            return []
        return claim_many(
            tx,
            most=most,
            sharers=sum(other.attach.pool == pool.name for other in self._seats.copy().values()),
            types=types,
            queues=pool.queues or None,
            worker=seat.attach.worker,
            incarnation=seat.attach.incarnation,
            caps=self.settings.queues,
            held_back=self._held_back,
            pool=pool.name if pool.handler is not None else None,
        )

    def order_cancel(self, incarnation: str, lease: int) -> None:
        """Tells the worker that runs a lease to end it. A worker that is not connected hears it when it attaches."""
        connection = self.desk.connection_of(incarnation)
        seat = self._seats.get(connection) if isinstance(connection, int) else None
        if seat is not None:
            seat.session.item(seat.stream, Order(cancel=lease))

    def _do(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Claim(connection):
                    assert isinstance(connection, int)
                    self._claim(connection)
                case Grant(connection, request, lease):
                    assert isinstance(connection, int)
                    granted = self._granted.pop(lease)
                    self.takes(connection, granted)
                    self.answer(self._seats[connection].session, request, _told(granted))
                case GiveBack(incarnation, lease):
                    self.give_back(incarnation, self._granted.pop(lease))

    def _claim(self, connection: int) -> None:
        seat = self._seats.get(connection)
        if seat is None:
            self.desk.failed(connection)
            return
        incarnation, most = seat.attach.incarnation, seat.most
        self.committer.do(
            lambda tx: self.claim_for(connection, tx, most), partial(self._claimed, connection, incarnation)
        )

    def _claimed(self, connection: int, incarnation: str, done: list[Lease] | Exception) -> None:
        if isinstance(done, Exception):
            self.desk.failed(connection)
            logger.warning("no lease could be granted, trying again: {}", done)
            asyncio.get_running_loop().call_later(CLAIM_AGAIN_S, self.work_arrived)
            return
        if done:
            self._granted[done[0].lease] = done
        self._do(self.desk.claimed(connection, incarnation, done[0].lease if done else None))

    def give_back(self, incarnation: str, leases: Iterable[Lease]) -> None:
        """Releases leases that nobody will start."""
        for lease in leases:
            self.committer.do(
                partial(release, lease=lease.lease, incarnation=incarnation), _log_unless_stale, essential=True
            )


def _told(granted: Sequence[Lease]) -> Lease:
    first, *more = granted
    return Leased(**msgspec.structs.asdict(first), more=tuple(more)) if more else first


def _log_unless_stale(done: object) -> None:
    if isinstance(done, Exception) and not (isinstance(done, RequestError) and done.code == "stale_lease"):
        logger.warning("a lease could not be given back: {}", done)
