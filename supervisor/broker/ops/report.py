"""report: how far a running job says it is."""

from __future__ import annotations

from supervisor.broker.service import Service
from supervisor.broker.session import Session
from supervisor.core.errors import RequestError
from supervisor.store import report_progress
from supervisor.wire.lease import Report


def report(service: Service, session: Session, request: Report) -> None:
    """Keeps the newest progress."""
    seat = service.leases.seat(session.number)
    if seat is None or request.lease not in seat.held:
        raise RequestError("stale_lease", f"lease {request.lease} is not yours")

    def tell(done: object) -> None:
        if isinstance(done, Exception):
            session.fail(request, done)
        else:
            service.leases.answer(session, request.id, None)

    service.committer.do(lambda tx: report_progress(tx, request.lease, request.progress), tell)
