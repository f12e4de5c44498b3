"""Ends the orphans that came to this process because it is a subreaper.

Invariant: signals by pidfd, waits by pid, and only for children that are not in `known`; repeats until none but
the known are left, because each death may bring new orphans.
Never: reaps a known child, or waits for any child (-1).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterable

from supervisor.sandbox.tree import children_of, signal_below

_PAUSE_MS = 5


class OrphanSweep:
    """The loop, one turn at a time. known: pids of children that are not orphans; may be changed meanwhile."""

    def __init__(self, known: set[int]) -> None:
        self.known = known
        self._resisted: set[int] = set()

    def step(self) -> list[int]:
        """Kills and reaps what is there now; returns the pids that are left. Empty: all gone. Never blocks."""
        left: list[int] = []
        for pid in children_of(os.getpid()):
            if pid not in self.known and not _end(pid):
                left.append(pid)
                if pid in self._resisted:
                    signal_below(pid, signal.SIGKILL)  # one that traces it may keep it from its end
        self._resisted = set(left)
        # A reaped orphan's own children have come to us in the meantime: look again before saying "none".
        return left or [pid for pid in children_of(os.getpid()) if pid not in self.known]


def kill_orphans(known: Iterable[int], timeout_s: float = 5.0) -> bool:
    """Sweeps until only known children are left: True, or False if something resists for timeout_s."""
    sweep = OrphanSweep(set(known))
    deadline_s = time.monotonic() + timeout_s
    while left := sweep.step():
        if time.monotonic() > deadline_s:
            return False
        _await_an_end(left)
    return True


def _end(pid: int) -> bool:
    """SIGKILL to a child, and its reaping if it has ended already."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return True
    try:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    finally:
        os.close(handle)
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def _await_an_end(pids: list[int]) -> None:
    handles: list[int] = []
    poll = select.poll()
    try:
        for pid in pids[:64]:
            with contextlib.suppress(OSError):
                handles.append(os.pidfd_open(pid))
                poll.register(handles[-1], select.POLLIN)
        poll.poll(_PAUSE_MS)
    finally:
        for handle in handles:
            os.close(handle)
