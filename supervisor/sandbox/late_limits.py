"""The kernel's limits of a program that runs already: a program that waits behind a gate gets its job's when it has one.

Invariant: the same values as process.limit would have set before the program, cut to the hard limit that is inherited.
Never: raises a hard limit; leaves unsaid that the process was gone.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
from collections.abc import Iterator

from supervisor.sandbox.mechanisms.process import lower


def limit(pidfd: int, rlimits: dict[str, tuple[int, int]], user: int | None) -> None:
    """prlimit(2) on the process behind pidfd. OSError: ESRCH if it has ended, EPERM where the caller may not.

    user: whose uid and gid the process has, where they are not the caller's.
    """
    pid = _pid_of(pidfd)
    with _real_user(user):
        for name, (soft, hard) in rlimits.items():
            kind = getattr(resource, f"RLIMIT_{name}")
            hard = lower(hard, resource.prlimit(pid, kind)[1])
            resource.prlimit(pid, kind, (lower(soft, hard), hard))
    # HAZARD: prlimit knows only numbers. The process is alive behind its pidfd after all calls, so that the number
    # was its own during them.
    if _has_ended(pidfd):
        raise ProcessLookupError(3, os.strerror(3))


@contextlib.contextmanager
def _real_user(user: int | None) -> Iterator[None]:
    """Root without CAP_SYS_RESOURCE, as in most containers, may do this to a process of its own real uid and gid only.

    The effective and saved ones stay root's, and with them every power of this process. It has one thread.
    """
    if user is None:
        yield
        return
    uid, gid = os.getuid(), os.getgid()
    os.setresgid(user, -1, -1)
    try:
        os.setresuid(user, -1, -1)
        try:
            yield
        finally:
            os.setresuid(uid, -1, -1)
    finally:
        os.setresgid(gid, -1, -1)


def _pid_of(pidfd: int) -> int:
    """Its number in our own pid namespace."""
    with open(f"/proc/self/fdinfo/{pidfd}", encoding="ascii") as file:
        for line in file:
            if line.startswith("Pid:"):
                pid = int(line.split()[1])
                if pid > 0:
                    return pid
    raise ProcessLookupError(3, os.strerror(3))


def _has_ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))
