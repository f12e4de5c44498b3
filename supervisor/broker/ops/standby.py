"""standby: what an idle worker keeps ready for its next job. Kept with its seat, in memory; `status` shows it."""

from __future__ import annotations

from supervisor.broker.service import Service
from supervisor.broker.session import Session
from supervisor.wire.lease import Standby


def standby(service: Service, session: Session, request: Standby) -> None:
    """Notes the newest."""
    seat = service.leases.seat(session.number)
    if seat is not None:
        seat.standby = request
    session.answer(request.id, None)
