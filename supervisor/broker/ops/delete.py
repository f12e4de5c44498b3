"""delete: a job is removed for good, with all that belongs to it. One that has not run never will."""

from __future__ import annotations

from typing import Any

from supervisor.broker.service import Caller, Service
from supervisor.store import choose
from supervisor.wire.control import Delete


async def delete(service: Service, caller: Caller, request: Delete) -> dict[str, Any]:
    """The state that it was in; answered when it is gone."""
    while True:
        service.check_job(caller, request.job)
        chosen = choose(service.reader, request.job)
        # It may have moved on meanwhile: then it is looked at again.
        if await service.remover.remove({request.job: chosen}, None if caller.is_admin else caller.uid):
            return {"state": chosen.state}
