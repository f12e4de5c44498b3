"""The plain circumstances of a job's process: session, umask, limits, and whose death it shares.

Invariant: applied in the forked child only.
Never: raises a hard limit; a limit above the inherited hard one is cut to it.
"""

from __future__ import annotations

import os
import resource

from supervisor.sandbox import syscalls
from supervisor.sandbox.site import Order, Room, Site


def start_session(site: Site, room: Room, order: Order) -> None:
    os.setsid()
    os.umask(0o077)


def lead_session(site: Site, room: Room, order: Order) -> None:
    os.setsid()


def die_with_keeper(site: Site, room: Room, order: Order) -> None:
    """Comes after the uid was changed, which clears it. The keeper may be dead already: then so are we."""
    syscalls.die_with_parent()
    if os.getppid() != order.keeper_pid:
        os._exit(0)


def adopt_orphans(site: Site) -> None:
    syscalls.become_subreaper()


def count_segments(site: Site, room: Room) -> None:
    room.segments = "/proc/sysvipc/shm"


def name_host(site: Site, room: Room) -> None:
    syscalls.set_hostname(b"job")


def limit(site: Site, room: Room, order: Order) -> None:
    limits = dict(order.rlimits)
    if order.processes is not None:
        ceiling = order.processes + site.processes_beside_job
        limits.setdefault("NPROC", (ceiling, ceiling))
    for name, (soft, hard) in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}", None)
        if kind is None:
            raise OSError(22, f"there is no limit of the name {name}")
        ceiling = resource.getrlimit(kind)[1]
        hard = lower(hard, ceiling)
        resource.setrlimit(kind, (lower(soft, hard), hard))


def lower(one: int, other: int) -> int:
    """The stricter of two limits."""
    bounded = [value for value in (one, other) if value != resource.RLIM_INFINITY]
    return min(bounded, default=resource.RLIM_INFINITY)
