"""Makes RLIMIT_NPROC usable where the job shares its uid with everything else of the daemon's user.

Invariant: the kernel counts all threads of that uid on the host; what is there already is added to the limit, and some
more, since what the user starts beside a job must not keep it from its own.
Never: exact: others of the same user come and go while the job runs.
"""

from __future__ import annotations

import os
import time

from supervisor.sandbox.site import Room, Site
from supervisor.sandbox.tree import read_proc

_GOOD_FOR_S = 10.0
_ROOM_FOR_OTHERS = 128
_counted_at_s = -_GOOD_FOR_S


def count_threads_of_user(site: Site, room: Room) -> None:
    """Once in a while, because it reads all of /proc (about 30 us a process)."""
    global _counted_at_s
    if time.monotonic() - _counted_at_s < _GOOD_FOR_S:
        return
    _counted_at_s = time.monotonic()
    marker = b"\nUid:\t%d\t" % site.uid
    statuses = (_status(name) for name in os.listdir("/proc") if name.isdigit())
    there = sum(_threads(status) for status in statuses if marker in status)
    site.processes_beside_job = there + _ROOM_FOR_OTHERS


def _status(pid: str) -> bytes:
    try:
        return read_proc(f"/proc/{pid}/status")
    except OSError:
        return b""


def _threads(status: bytes) -> int:
    return int(status.partition(b"\nThreads:\t")[2].split(b"\n", 1)[0] or 0)
