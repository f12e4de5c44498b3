"""Before the first fork: what an earlier supervisor of this state folder left alive is killed.

Known by the mark in its environment, so that nothing else is ever touched; what cleared its environment is not
found (isolated jobs died with their namespace). The lock is held: no process with this mark has a right to live.
"""

from __future__ import annotations

import os
import select
import signal
import time
from typing import Final

from supervisor.arbiter import proc
from supervisor.child import MARK_VARIABLE

_PATIENCE_S: Final = 5.0


def kill_leftovers(mark: str) -> tuple[int, int]:
    """(how many were killed, how many would not die within 5 s). Repeats until a look finds none."""
    give_up_at = time.monotonic() + _PATIENCE_S
    killed = 0
    while True:
        found = _kill_all(mark)
        killed += len(found)
        survivors = _wait_for_death(found, give_up_at)
        if not found or time.monotonic() >= give_up_at:
            return killed - survivors, survivors


def _kill_all(mark: str) -> list[int]:
    """The pidfds of all processes found and signalled."""
    killed = []
    for pid in proc.processes():
        if pid == os.getpid():
            continue
        try:
            # Before its environment is read: if the pid is given to another meanwhile, this still names the old one.
            pidfd = os.pidfd_open(pid)
        except OSError:
            continue
        # A zombie's environment is empty.
        if proc.has_in_environment(pid, MARK_VARIABLE, mark) and _kill(pidfd):
            killed.append(pidfd)
        else:
            os.close(pidfd)
    return killed


def _kill(pidfd: int) -> bool:
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except OSError:
        return False
    return True


def _wait_for_death(pidfds: list[int], give_up_at: float) -> int:
    survivors = 0
    for pidfd in pidfds:
        ended = select.poll()
        ended.register(pidfd, select.POLLIN)
        if not ended.poll(max(0.0, give_up_at - time.monotonic()) * 1000):
            survivors += 1
        os.close(pidfd)
    return survivors
