"""settle: how an attempt ended, and in the same transaction the worker's next lease."""

from __future__ import annotations

import random

from supervisor.broker.service import Service
from supervisor.broker.session import Session
from supervisor.core.errors import RequestError
from supervisor.store import Tx
from supervisor.store import settle as settle_attempt
from supervisor.wire.lease import NULL, Lease, Settle, Settled


async def settle(service: Service, session: Session, request: Settle) -> None:
    """Answers when the outcome is durable; the same settle again is ok."""
    incarnation = _incarnation(session)
    dice = random.random()  # noqa: S311  spreads retries, keeps no secret

    def call(tx: Tx) -> Settled:
        done = settle_attempt(
            tx,
            lease=request.lease,
            incarnation=incarnation,
            outcome=request.outcome,
            isolation=request.isolation,
            result=None if request.result == NULL else request.result,
            progress=request.progress,
            dice=dice,
        )
        # On a full disk what runs is ended with dignity, and nothing more is begun.
        more = request.next and not service.committer.disk_is_full
        following: Lease | None = service.leases.claim_for(session.number, tx) if more else None
        return Settled(state=done.state, lease=following)

    settled = await service.committer.run(call, essential=True)
    if session.closed:
        if settled.lease is not None:
            service.leases.give_back(incarnation, settled.lease.lease)
        return
    service.leases.holds(session.number, settled.lease)
    session.answer(request.id, settled)


def _incarnation(session: Session) -> str:
    if session.attach is None:
        raise RequestError("bad_request", "attach first")
    return session.attach.incarnation
