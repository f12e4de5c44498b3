"""The end of a known child: its wait status, read exactly once, and its cause in words.

Never a bare waitpid(-1): it would steal statuses that belong to others.
"""

from __future__ import annotations

import os

# os.wait4 imports it at its first call: when no descriptor is free, that fails.
import resource  # noqa: F401
import signal
from dataclasses import dataclass


@dataclass(frozen=True)
class Child:
    """A forked process. Its pid stays its own until it is reaped; signals go through the pidfd only."""

    pid: int
    pidfd: int

    def send(self, number: signal.Signals) -> None:
        """Harmless when it is dead already."""
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except ProcessLookupError:
            pass

    def close(self) -> None:
        """Gives the pidfd back; after the reaping."""
        os.close(self.pidfd)


@dataclass(frozen=True)
class Exit:
    """How a child ended: `code` for an exit, `signal` for a signal, neither when its status was lost."""

    code: int | None
    signal: int | None

    @property
    def cause(self) -> str:
        """In words, for people."""
        if self.signal is not None:
            hint = ", perhaps for want of memory" if self.signal == signal.SIGKILL else ""
            return f"ended by {_name_of(self.signal)}{hint}"
        return "its exit status was lost" if self.code is None else f"exited with code {self.code}"


def reap(child: Child) -> Exit | None:
    """The end of `child`; None while it lives. Its pidfd stays open."""
    try:
        if os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        _, status, _ = os.wait4(child.pid, 0)
    except ChildProcessError:
        return Exit(None, None)
    if os.WIFSIGNALED(status):
        return Exit(None, os.WTERMSIG(status))
    return Exit(os.WEXITSTATUS(status), None)


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
