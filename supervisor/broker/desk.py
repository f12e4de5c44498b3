"""Who waits for a lease and who gets one. Pure: it takes what happened and returns what to do.

Invariants, whatever is dropped, reordered or killed:
- of one incarnation only the newest connection counts;
- a claim that was under way when work arrived is asked again, so that no due job waits beside a free worker;
- a lease that cannot be handed to the connection that asked is given back: no process was started for it.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

Connection = Hashable


@dataclass(frozen=True)
class Claim:
    """Look in the queue for work for this connection."""

    connection: Connection


@dataclass(frozen=True)
class Grant:
    """Answer the parked request with the lease."""

    connection: Connection
    request: int
    lease: int


@dataclass(frozen=True)
class GiveBack:
    """Release a lease that nobody will start."""

    incarnation: str
    lease: int


Action = Claim | Grant | GiveBack


@dataclass
class _Seat:
    incarnation: str
    parked: int | None = None
    claiming: bool = False
    again: bool = False


class LeaseDesk:
    """The attached connections. While it is closed nobody gets a lease."""

    def __init__(self) -> None:
        self._seats: dict[Connection, _Seat] = {}
        self._newest: dict[str, Connection] = {}
        self._closed = False
        self._held = False

    @property
    def closed(self) -> bool:
        """Whether leases are over."""
        return self._closed

    @property
    def held(self) -> bool:
        """Whether an operator wants no leases for now."""
        return self._held

    def connection_of(self, incarnation: str) -> Connection | None:
        """Where this incarnation can be reached now."""
        return self._newest.get(incarnation)

    def attach(self, connection: Connection, incarnation: str) -> None:
        """A worker said who it is; an older connection of it does not count any more."""
        older = self._newest.get(incarnation)
        if older is not None and older != connection:
            self._seats.pop(older, None)
        self._seats[connection] = _Seat(incarnation)
        self._newest[incarnation] = connection

    def leave(self, connection: Connection) -> None:
        """A connection is gone."""
        seat = self._seats.pop(connection, None)
        if seat is not None and self._newest.get(seat.incarnation) == connection:
            del self._newest[seat.incarnation]

    def want(self, connection: Connection, request: int) -> list[Action]:
        """A worker is free and asks for a lease."""
        seat = self._seats.get(connection)
        if seat is None:
            return []
        seat.parked = request
        return self._claim(connection, seat)

    def work_arrived(self) -> list[Action]:
        """Something was queued."""
        return [action for connection, seat in list(self._seats.items()) for action in self._claim(connection, seat)]

    def claimed(self, connection: Connection, incarnation: str, lease: int | None) -> list[Action]:
        """A claim's result is durable: a lease for `incarnation`, or nothing was there."""
        seat = self._seats.get(connection)
        if seat is not None:
            seat.claiming = False
        if lease is None:
            return self._claim(connection, seat) if seat is not None and seat.again else []
        if seat is None or seat.parked is None:
            return [GiveBack(incarnation, lease)]
        request, seat.parked, seat.again = seat.parked, None, False
        return [Grant(connection, request, lease)]

    def failed(self, connection: Connection) -> None:
        """A claim could not be made; the next arrival tries again."""
        seat = self._seats.get(connection)
        if seat is not None:
            seat.claiming = False

    def hold(self, on: bool) -> list[Action]:
        """No more leases for now, or again: then everybody who waits looks."""
        self._held = on
        return [] if on else self.work_arrived()

    def close(self) -> None:
        """No more leases: the daemon is shutting down."""
        self._closed = True

    def _claim(self, connection: Connection, seat: _Seat) -> list[Action]:
        if self._closed or self._held or seat.parked is None:
            return []
        if seat.claiming:
            seat.again = True
            return []
        seat.claiming, seat.again = True, False
        return [Claim(connection)]
