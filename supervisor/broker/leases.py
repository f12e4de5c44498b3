"""Carries out what the lease desk decides: claims in the writer's transactions, answers, give-backs, cancels."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec
from loguru import logger

from supervisor.broker.commit import Committer
from supervisor.broker.desk import Action, Claim, GiveBack, Grant, LeaseDesk
from supervisor.config import Pool, Settings
from supervisor.core.errors import RequestError
from supervisor.core.names import ISOLATION
from supervisor.store import Tx, claim, release
from supervisor.wire.lease import Attach, Lease, Order, Standby

CLAIM_AGAIN_S: Final = 1.0


class WorkerConnection(Protocol):
    """What a worker's session offers."""

    attach: Attach | None

    def answer(self, request: int, value: object) -> None:
        """Answers a parked request."""

    def item(self, request: int, value: object) -> None:
        """Sends an item of a stream."""


@dataclass
class Seat:
    """An attached worker: its connection, what it said of itself, the stream for orders, the job it has."""

    session: WorkerConnection
    attach: Attach
    stream: int
    job: int | None = None
    lease: int | None = None
    standby: Standby | None = None


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
    _granted: dict[int, Lease] = field(default_factory=dict)
    _types: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def pools(self) -> tuple[Pool, ...]:
        """Every pool with the types that it takes: those of its table, else what its handler's class has said."""
        return tuple(self._with_types(pool) for pool in self.settings.pools.values())

    def _with_types(self, pool: Pool) -> Pool:
        return pool if pool.types else msgspec.structs.replace(pool, types=self._types.get(pool.name, ()))

    def seats(self) -> dict[str, Seat]:
        """The attached workers by name."""
        return {seat.attach.worker: seat for seat in self._seats.values()}

    def sandboxed(self) -> dict[str, Seat]:
        """Those of them that run scripts: a handler is kept apart from nothing, and tells nothing of this machine."""
        return {name: seat for name, seat in self.seats().items() if seat.attach.isolation in ("", *ISOLATION)}

    def seat(self, connection: int) -> Seat | None:
        """The attached worker behind a connection."""
        return self._seats.get(connection)

    def attach(self, connection: int, seat: Seat) -> None:
        """A worker is here."""
        self.desk.attach(connection, seat.attach.incarnation)
        self._types[seat.attach.pool] = seat.attach.types
        self._seats[connection] = seat

    def leave(self, connection: int) -> None:
        """A worker's connection is gone; what it holds stays its own until its process is known to be dead."""
        self.desk.leave(connection)
        self._seats.pop(connection, None)

    def want(self, connection: int, request: int) -> None:
        """A worker asks for a lease."""
        self._do(self.desk.want(connection, request))

    def work_arrived(self) -> None:
        """Something was queued."""
        self._do(self.desk.work_arrived())

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

    def holds(self, connection: int, lease: Lease | None) -> None:
        """Notes what a worker has now."""
        seat = self._seats.get(connection)
        if seat is not None:
            seat.job = lease.job if lease is not None else None
            seat.lease = lease.lease if lease is not None else None
            if lease is not None and seat.standby is not None:
                seat.standby.spare = None

    def claim_for(self, connection: int, tx: Tx) -> Lease | None:
        """The best lease for a worker, within a transaction."""
        seat = self._seats.get(connection)
        if seat is None or self.desk.closed or self.desk.held or not seat.attach.isolation:
            return None
        pool = self.settings.pools.get(seat.attach.pool)
        if pool is None or seat.attach.incarnation in self.leaving:
            return None
        # One that is older than a reload takes only what it was started for.
        pool = self._with_types(pool)
        known = set(seat.attach.types or pool.types) - set(seat.attach.missing)
        types = [kind for kind in pool.types if kind in known]
        if not types:
            return None
        return claim(
            tx,
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
                    self.holds(connection, granted)
                    self._seats[connection].session.answer(request, granted)
                case GiveBack(incarnation, lease):
                    self._granted.pop(lease, None)
                    self.give_back(incarnation, lease)

    def _claim(self, connection: int) -> None:
        seat = self._seats.get(connection)
        if seat is None:
            self.desk.failed(connection)
            return
        incarnation = seat.attach.incarnation
        future = self.committer.run(lambda tx: self.claim_for(connection, tx))
        future.add_done_callback(lambda done: self._claimed(connection, incarnation, done))

    def _claimed(self, connection: int, incarnation: str, done: asyncio.Future[Lease | None]) -> None:
        if done.cancelled() or done.exception() is not None:
            self.desk.failed(connection)
            if not done.cancelled():
                logger.warning("no lease could be granted, trying again: {}", done.exception())
                done.get_loop().call_later(CLAIM_AGAIN_S, self.work_arrived)
            return
        lease = done.result()
        if lease is not None:
            self._granted[lease.lease] = lease
        self._do(self.desk.claimed(connection, incarnation, lease.lease if lease is not None else None))

    def give_back(self, incarnation: str, lease: int) -> None:
        """Releases a lease that nobody will start."""
        future = self.committer.run(lambda tx: release(tx, lease=lease, incarnation=incarnation), essential=True)
        future.add_done_callback(_log_stale)


def _log_stale(done: asyncio.Future[int | None]) -> None:
    error = None if done.cancelled() else done.exception()
    if error is not None and not (isinstance(error, RequestError) and error.code == "stale_lease"):
        logger.warning("a lease could not be given back: {}", error)
