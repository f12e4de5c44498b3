"""Which running attempts are lost when a broker starts. Pure: the rows' incarnations and the arbiter's fleet decide.

A live worker says itself what it holds; one that is dead and not yet acknowledged is told by `exited`. Only those
in neither list are lost here. No timer decides.
"""

from __future__ import annotations

from collections.abc import Iterable

from supervisor.store import LossReason
from supervisor.wire.tree import Fleet


def lost_incarnations(running: Iterable[str], fleet: Fleet) -> list[tuple[str, LossReason, str]]:
    """(incarnation, reason, sentence) of each incarnation whose running attempts nobody can end any more."""
    alive = {member.incarnation for member in fleet.members if member.incarnation is not None}
    return [
        (incarnation, *_why(incarnation, fleet.supervisor))
        for incarnation in running
        if incarnation not in alive and incarnation not in fleet.exiting
    ]


def _why(incarnation: str, supervisor: str) -> tuple[LossReason, str]:
    if incarnation.rpartition("-")[0] == supervisor:
        return "worker_lost", "its worker died while no broker ran"
    return "host_lost", "the supervisor or the machine died while it ran"
