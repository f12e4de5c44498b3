"""next: a worker asks for a lease; it is answered when there is one."""

from __future__ import annotations

from supervisor.broker.service import Service
from supervisor.broker.session import Session
from supervisor.wire.lease import Next


def next_(service: Service, session: Session, request: Next) -> None:
    """Parks the request."""
    service.leases.want(session.number, request.id, request.most)
