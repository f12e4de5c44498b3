"""The processes of one job, seen from their keeper: list them, signal them, kill them until none is left.

Invariant: the only signals by number go to this process's own unreaped children (or, in a pid namespace, to
everything in it); ECHILD from wait4 is the only proof of emptiness.
Never: used in a process that has children which are not the job's: wait4(-1) reaps whatever there is.
"""

from __future__ import annotations

import contextlib
import os

from supervisor.sandbox import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Reaped:
    """One ended process, with the resources of itself and of all that it had waited for."""

    __slots__ = ("cpu_s", "max_rss_bytes", "pid", "status")

    def __init__(self, pid: int, status: int, cpu_s: float, max_rss_bytes: int) -> None:
        self.pid = pid
        self.status = status
        self.cpu_s = cpu_s
        self.max_rss_bytes = max_rss_bytes


class Tree:
    """What both kinds of tree share: reaping. has_children: False once wait4 has said so, or before any fork."""

    has_children = False

    def pids(self) -> list[int]:
        """The live and the unreaped processes, the keeper left out."""
        raise NotImplementedError

    def signal(self, number: int) -> None:
        """Sends a signal to every process of the tree."""
        raise NotImplementedError

    def kill(self) -> None:
        """SIGKILL to all that can be reached now. Repeat it, and reap, until has_children is false."""
        raise NotImplementedError

    def reap(self) -> Iterator[Reaped]:
        """Everything that has ended so far. Clears has_children if nobody is left."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                self.has_children = False
                return
            if pid == 0:
                return
            yield Reaped(pid, status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss << 10)


class NamespaceTree(Tree):
    """All of a pid namespace whose PID 1 this process is. kill(-1) is airtight: a fork cannot slip through."""

    def pids(self) -> list[int]:
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and name != "1"]

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, number)

    def kill(self) -> None:
        self.signal(syscalls.SIGKILL)


class SubreaperTree(Tree):
    """All descendants of this process, a subreaper: whoever loses his parent becomes its child."""

    has_children = True  # a stuck process of an earlier job may be there: only wait4 knows

    def pids(self) -> list[int]:
        return descendants_of(os.getpid())

    def signal(self, number: int) -> None:
        signal_below(os.getpid(), number)

    def kill(self) -> None:
        for pid in children_of(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, syscalls.SIGKILL)  # an unreaped child of ours: the number cannot have changed hands


def descendants_of(pid: int) -> list[int]:
    """All below a process."""
    found = children_of(pid)
    for child in found:  # grows while it is walked
        found.extend(children_of(child))
    return found


def signal_below(pid: int, number: int) -> None:
    """Sends a signal to all descendants of a process, which is the caller or an unreaped child of it."""
    handles = {below: handle for below in descendants_of(pid) if (handle := _handle(below)) is not None}
    # Listed again after the handles are open: what has the number of a descendant now and is still alive
    # behind its handle is that descendant, not a stranger who got a freed number.
    confirmed = set(descendants_of(pid))
    for below, handle in handles.items():
        if below in confirmed:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                syscalls.signal_by_pidfd(handle, number)
        os.close(handle)


def children_of(pid: int) -> list[int]:
    """The children of all threads of a process; none if it is gone."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            found.extend(int(child) for child in read_proc(f"/proc/{pid}/task/{thread}/children").split())
    except OSError:
        pass
    return found


def read_proc(path: str) -> bytes:
    """The content of a /proc file. OSError if the process is gone or may not be looked at."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = b""
        while piece := os.read(fd, 65536):
            content += piece
        return content
    finally:
        os.close(fd)


def _handle(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None
