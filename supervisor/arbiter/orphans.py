"""Adopted children: what a dead worker left behind is killed and reaped until nothing of it is left.

A stranger is never killed, only reaped: a child from before our first fork (`sh -c 'x & exec worker-supervisor'`),
whatever lives in a session that our workers cannot have made, and, where strangers can appear at all (we are PID 1,
or had such children), whatever does not carry this state folder's mark. Never a signal by pid.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection
from typing import Final

from supervisor.arbiter import prctl, proc
from supervisor.arbiter.handover import LeftOrphans
from supervisor.child import MARK_VARIABLE
from supervisor.sandbox.tree import signal_below

UNKILLABLE_AFTER_S: Final = 5.0


class Orphans:
    """Made once, before the first fork, by the process that adopts; a successor of its program gets `left`."""

    def __init__(self, mark: str, left: LeftOrphans | None = None) -> None:
        prctl.adopt_orphans()
        self._mark = mark
        if left is None:
            self._strangers = set(proc.children())
            self._foreign_sessions = {os.getsid(0)}
            self._seen_at_s: dict[int, float] = {}
            self._strangers_may_appear = os.getpid() == 1 or bool(self._strangers)
            for pid in self._strangers:
                self._note_session(pid)
        else:
            self._strangers = set(left.strangers)
            self._foreign_sessions = set(left.foreign_sessions)
            self._seen_at_s = dict(left.seen_at_s)
            self._strangers_may_appear = left.may_appear

    def leave(self) -> LeftOrphans:
        """What a successor must know. The children's pids stay theirs as long as we do not reap."""
        return LeftOrphans(
            strangers=tuple(self._strangers),
            foreign_sessions=tuple(self._foreign_sessions),
            may_appear=self._strangers_may_appear,
            seen_at_s=dict(self._seen_at_s),
        )

    def sweep(self, known: Collection[int]) -> bool:
        """Kills and reaps every orphan that is there now; True when none was left alive.

        `known` are the pids of all children that were forked and not yet reaped. Orphans that outlive SIGKILL for
        5 s count as unkillable: they are still reaped when they die, but no longer waited for.
        """
        # The list is no snapshot: an orphan may be born to a dying one behind the place where it was read.
        try:
            return self._sweep_once(known) and self._sweep_once(known)
        except OSError:
            # No descriptor is free to look into /proc with: nobody can be said to be gone.
            return False

    def unkillable_since(self, since_s: float) -> bool:
        """Whether an orphan that was first seen after this moment (monotonic) has turned out to be unkillable."""
        return any(seen_s >= since_s for pid, seen_s in self._seen_at_s.items() if self._is_unkillable(pid))

    def _sweep_once(self, known: Collection[int]) -> bool:
        clean = True
        for pid in proc.children():
            if pid in known:
                continue
            try:
                pidfd = os.pidfd_open(pid)
            except OSError:
                # No descriptor is free: whatever it is, it is not gone.
                clean = False
                continue
            try:
                if not self._reap(pid, pidfd) and not self._is_stranger(pid):
                    clean &= self._kill(pid, pidfd)
            finally:
                os.close(pidfd)
        return clean

    def _reap(self, pid: int, pidfd: int) -> bool:
        if os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG) is None:
            return False
        self._strangers.discard(pid)
        self._seen_at_s.pop(pid, None)
        return True

    def _kill(self, pid: int, pidfd: int) -> bool:
        """True when this orphan need not be waited for."""
        if pid in self._seen_at_s:
            signal_below(pid, signal.SIGKILL)  # it was killed before: one that traces it may keep it from its end
        self._seen_at_s.setdefault(pid, time.monotonic())
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        return self._is_unkillable(pid)

    def _is_unkillable(self, pid: int) -> bool:
        return time.monotonic() - self._seen_at_s[pid] >= UNKILLABLE_AFTER_S

    def _is_stranger(self, pid: int) -> bool:
        if pid in self._strangers:
            return True
        if pid in self._seen_at_s or not self._looks_strange(pid):
            return False
        self._strangers.add(pid)
        self._note_session(pid)
        return True

    def _looks_strange(self, pid: int) -> bool:
        seen = proc.stat_of(pid)
        if seen is not None and seen.session in self._foreign_sessions:
            return True
        # Where nobody else can have become our child, even what cleared its environment is ours.
        return self._strangers_may_appear and proc.has_in_environment(pid, MARK_VARIABLE, self._mark) is False

    def _note_session(self, pid: int) -> None:
        seen = proc.stat_of(pid)
        if seen is not None and seen.session != 0:
            self._foreign_sessions.add(seen.session)
