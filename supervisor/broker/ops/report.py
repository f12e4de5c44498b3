"""report: how far a running job says it is."""

from __future__ import annotations

from supervisor.broker.service import Service
from supervisor.broker.session import Session
from supervisor.core.errors import RequestError
from supervisor.store import report_progress
from supervisor.wire.lease import Report


async def report(service: Service, session: Session, request: Report) -> None:
    """Keeps the newest progress."""
    seat = service.leases.seat(session.number)
    if seat is None or seat.lease != request.lease:
        raise RequestError("stale_lease", f"lease {request.lease} is not yours")
    await service.committer.run(lambda tx: report_progress(tx, request.lease, request.progress))
    session.answer(request.id, None)
