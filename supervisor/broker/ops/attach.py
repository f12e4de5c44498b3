"""attach: a worker says who it is and what it holds. From then on its connection is read to the end."""

from __future__ import annotations

import asyncio
from typing import Final

from supervisor.broker.chronicle import worker_attached
from supervisor.broker.leases import Seat
from supervisor.broker.service import Service
from supervisor.broker.session import Session
from supervisor.core.errors import RequestError
from supervisor.store import cancels_among, jobs_among
from supervisor.wire.lease import Attach, Order

KNOWN_WITHIN_S: Final = 5.0
LOOK_AGAIN_S: Final = 0.01


async def attach(service: Service, session: Session, request: Attach) -> None:
    """Gives back what was leased to it and never arrived; repeats the cancels of what it holds."""
    session.attach = request
    await _until_known(service, request.incarnation, session.caller.pid)
    service.leases.attach(session.number, _seat(service, session, request))
    await worker_attached(service.committer, request, session.caller.pid)
    service.say_attached(request.incarnation)
    session.answer(request.id, None)
    for lease in cancels_among(service.reader, request.holding):
        session.item(request.id, Order(cancel=lease))


def _seat(service: Service, session: Session, request: Attach) -> Seat:
    """A worker that outlived a broker comes with what it has."""
    held = jobs_among(service.reader, request.holding)
    return Seat(session, request, request.id, held={lease: held[lease] for lease in request.holding if lease in held})


async def _until_known(service: Service, incarnation: str, pid: int) -> None:
    """A worker may be faster than the arbiter's word that it exists."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + KNOWN_WITHIN_S
    while not service.fleet.runs(incarnation, pid):
        if loop.time() > deadline:
            raise RequestError("permission_denied", f"process {pid} is not this daemon's incarnation {incarnation}")
        await asyncio.sleep(LOOK_AGAIN_S)
