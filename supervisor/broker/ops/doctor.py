"""doctor: the checks of a daemon that runs. What workers proved at their start, and a look at storage and machine.

No sandbox is tried here: only a worker starts holders. The looking blocks, and has a thread for itself.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final

from supervisor.broker.leases import Seat
from supervisor.broker.service import Caller, Service
from supervisor.doctor.check import Check
from supervisor.doctor.equipment import Proof, equipment_checks
from supervisor.doctor.look import instance_of, storage_checks
from supervisor.doctor.machine import leftovers_check, machine_checks
from supervisor.doctor.workers import worker_checks
from supervisor.wire.control import Doctor

ONE_AT_A_TIME: Final = asyncio.Lock()
"""Impatient callers must not take all the threads that others need."""


async def doctor(service: Service, _: Caller, __: Doctor) -> dict[str, Any]:
    """Every check, in the order in which they are read best."""
    seats, sandboxed = service.leases.seats(), service.leases.sandboxed()
    checks = [
        *worker_checks(service.fleet.members, seats),
        *equipment_checks([_proof(sandboxed[name]) for name in sorted(sandboxed)]),
    ]
    async with ONE_AT_A_TIME:
        seen = await asyncio.to_thread(_look, service, os.getppid())
    return {"checks": [*checks, *seen]}


def _look(service: Service, arbiter: int) -> list[Check]:
    return [
        *storage_checks(service.paths, service.settings.socket_group, service.settings.synchronous),
        *machine_checks(service.settings.pools.values()),
        leftovers_check(instance_of(service.paths), arbiter),
    ]


def _proof(seat: Seat) -> Proof:
    said = seat.attach
    return Proof(
        pool=said.pool,
        level=said.isolation,
        notes=said.isolation_notes,
        remedies=said.isolation_remedies,
        enforced={said.isolation: said.enforced} if said.isolation else {},
        interpreters=said.interpreters,
        missing=said.missing,
        how="each worker set one up at its start",
    )
