"""settle: how an attempt ended, and in the same transaction the worker's next leases."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial

from supervisor.broker.service import Service
from supervisor.broker.session import Session
from supervisor.core.errors import RequestError
from supervisor.store import Joinable, Tx
from supervisor.store import settle as settle_attempt
from supervisor.wire.lease import NULL, Attach, Settle, Settled


def settle(service: Service, session: Session, request: Settle) -> None:
    """Answers when the outcome is durable; the same settle again is ok."""
    attach = session.attach
    assert isinstance(attach, Attach)
    settlement = Settlement(service, session.number, attach.incarnation, request)
    service.committer.do(settlement, partial(_tell, service, session, attach.incarnation, request), essential=True)


class Settlement(Joinable[Settled]):
    """One settle, to be carried out by the writer."""

    __slots__ = ("_connection", "_dice", "_incarnation", "_request", "_service")

    def __init__(self, service: Service, connection: int, incarnation: str, request: Settle) -> None:
        self._service = service
        self._connection = connection
        self._incarnation = incarnation
        self._request = request
        self._dice = random.random()  # noqa: S311  spreads retries, keeps no secret

    def __call__(self, tx: Tx) -> Settled:
        request, service = self._request, self._service
        done = settle_attempt(
            tx,
            lease=request.lease,
            incarnation=self._incarnation,
            outcome=request.outcome,
            isolation=request.isolation,
            result=None if request.result == NULL else request.result,
            progress=request.progress,
            dice=self._dice,
            waited_s=request.waited_s,
        )
        # On a full disk what runs is ended with dignity, and nothing more is begun.
        more = request.next and not service.committer.disk_is_full
        leases = service.leases.claim_for(self._connection, tx, request.most) if more else []
        return Settled(state=done.state, lease=leases[0] if leases else None, more=tuple(leases[1:]))

    @classmethod
    def run_all(cls, tx: Tx, calls: Sequence[Joinable[Settled]]) -> list[Settled | Exception]:
        """Each in turn; one of a lease that is held no more is refused before anything is written."""
        return [_or_refusal(call, tx) for call in calls]


def _or_refusal(call: Joinable[Settled], tx: Tx) -> Settled | Exception:
    try:
        return call(tx)
    except RequestError as error:
        if error.code != "stale_lease":
            raise
        return error


def _tell(service: Service, session: Session, incarnation: str, request: Settle, done: Settled | Exception) -> None:
    if isinstance(done, Exception):
        if isinstance(done, RequestError) and done.code == "stale_lease":
            service.leases.gives(session.number, request.lease)
        session.fail(request, done)
    elif session.closed:
        service.leases.give_back(incarnation, done.leases)
    else:
        service.leases.gives(session.number, request.lease)
        service.leases.takes(session.number, done.leases)
        service.leases.answer(session, request.id, done)
