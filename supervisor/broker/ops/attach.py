"""attach: a worker says who it is and what it holds. From then on its connection is read to the end."""

from __future__ import annotations

import asyncio
from typing import Final

from supervisor.broker.leases import Seat
from supervisor.broker.service import Service
from supervisor.broker.session import Session
from supervisor.core.errors import RequestError
from supervisor.store import cancels_among, release_unheld
from supervisor.wire.lease import Attach, Order

KNOWN_WITHIN_S: Final = 5.0
LOOK_AGAIN_S: Final = 0.01


async def attach(service: Service, session: Session, request: Attach) -> None:
    """Gives back what was leased to it and never arrived; repeats the cancels of what it holds."""
    session.attach = request
    await _until_known(service, request.incarnation, session.caller.pid)
    service.leases.attach(session.number, Seat(session, request, request.id))
    await service.committer.run(lambda tx: release_unheld(tx, incarnation=request.incarnation, holding=request.holding))
    session.answer(request.id, None)
    for lease in cancels_among(service.reader, request.holding):
        session.item(request.id, Order(cancel=lease))


async def _until_known(service: Service, incarnation: str, pid: int) -> None:
    """A worker may be faster than the arbiter's word that it exists."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + KNOWN_WITHIN_S
    while not service.fleet.runs(incarnation, pid):
        if loop.time() > deadline:
            raise RequestError("permission_denied", f"process {pid} is not this daemon's incarnation {incarnation}")
        await asyncio.sleep(LOOK_AGAIN_S)
