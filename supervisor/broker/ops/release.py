"""release: a lease comes back for which no process was started."""

from __future__ import annotations

from functools import partial

from supervisor.broker.service import Service
from supervisor.broker.session import Session
from supervisor.broker.situation import takers_among
from supervisor.store import Tx, decline
from supervisor.store import release as release_lease
from supervisor.wire.lease import Attach, Release


def release(service: Service, session: Session, request: Release) -> None:
    """Answers when the job is queued again, or has failed because every pool has declined it."""
    attach = session.attach
    assert isinstance(attach, Attach)
    incarnation, pool, pools = attach.incarnation, attach.pool, service.leases.pools()

    def call(tx: Tx) -> None:
        if not request.declined:
            release_lease(tx, lease=request.lease, incarnation=incarnation)
            return
        decline(
            tx,
            lease=request.lease,
            incarnation=incarnation,
            pool=pool,
            takers_of=partial(takers_among, pools),
        )

    def tell(done: object) -> None:
        if isinstance(done, Exception):
            session.fail(request, done)
            return
        service.leases.gives(session.number, request.lease)
        service.leases.answer(session, request.id, None)

    service.committer.do(call, tell, essential=True)
