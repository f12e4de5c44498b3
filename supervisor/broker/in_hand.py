"""Which leases have not begun: those that a worker of a handler has in its hand behind the job that it does.

They are `running` for the queue, whose caps and unique keys hold for them, and are told as what they are: not begun, and
no attempt yet. The scoreboard says what has begun; nothing is kept here.
"""

from __future__ import annotations

from typing import Any

from supervisor.broker.service import Service
from supervisor.broker.situation import InHand
from supervisor.core.names import RUNNING


def in_hand(service: Service) -> dict[int, InHand]:
    """By job; of almost all workers nothing."""
    if service.board is None:
        return {}
    waiting: dict[int, InHand] = {}
    places = {member.worker: member.index for member in service.fleet.members}
    for name, seat in service.leases.seats().items():
        place = places.get(name)
        if len(seat.held) < 2 or place is None:
            continue
        begun = service.board.slot(1 + place).started
        runs = [job for lease, job in seat.held.items() if lease <= begun]
        for before, (lease, job) in enumerate(seat.held.items()):
            if lease > begun:
                waiting[job] = InHand(name, runs[-1] if runs else job, before)
    return waiting


def tell_truly(view: dict[str, Any], waiting: dict[int, InHand]) -> None:
    """Takes out of a job's record what has not happened yet."""
    if view["id"] not in waiting or view["state"] != RUNNING:
        return
    attempts = view.get("attempts")
    if attempts is not None:
        del attempts[-1:]
    view["started_at"] = attempts[-1]["started_at"] if attempts else None
