"""release: a lease comes back for which no process was started."""

from __future__ import annotations

from supervisor.broker.service import Service
from supervisor.broker.session import Session
from supervisor.core.errors import RequestError
from supervisor.store import release as release_lease
from supervisor.wire.lease import Release


async def release(service: Service, session: Session, request: Release) -> None:
    """Answers when the job is queued again."""
    if session.attach is None:
        raise RequestError("bad_request", "attach first")
    incarnation = session.attach.incarnation
    await service.committer.run(
        lambda tx: release_lease(tx, lease=request.lease, incarnation=incarnation), essential=True
    )
    service.leases.holds(session.number, None)
    session.answer(request.id, None)
