"""One supervisor per state folder: a flock that the daemon's own processes inherit on purpose.

It is free only when the last of them is gone, so that holding it proves that nobody is left. The lock file is never
removed: who unlinks a lock file makes two locks of one name.
"""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass
from typing import Final

from supervisor.arbiter import proc
from supervisor.core.errors import InstanceHeld, unusable

DYING_TREE_S: Final = 5.0
_RETRY_S: Final = 0.02


@dataclass(frozen=True)
class _Owner:
    pid: int
    started_ticks: int
    boot_id: str

    def is_alive(self) -> bool:
        seen = proc.stat_of(self.pid)
        return (
            seen is not None
            and seen.state not in ("Z", "X")
            and seen.started_ticks == self.started_ticks
            and proc.boot_id() == self.boot_id
        )


def acquire(path: str, wait_s: float = DYING_TREE_S) -> int:
    """The locked fd, close-on-exec, with this process named in the file as its owner.

    Raises InstanceHeld at once while the owner lives; up to `wait_s` is spent on the children of a dead one.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise unusable(f"cannot open the lock {path}", error) from error
    try:
        _wait_for(fd, path, wait_s)
        _sign(fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _wait_for(fd: int, path: str, wait_s: float) -> None:
    give_up_at = time.monotonic() + wait_s
    while not _try(fd):
        owner = _read_owner(fd)
        if owner is not None and owner.is_alive():
            raise InstanceHeld(
                f"a worker-supervisor with pid {owner.pid} holds the state folder {os.path.dirname(path)}"
            )
        if time.monotonic() >= give_up_at:
            who = f"of the worker-supervisor with pid {owner.pid}" if owner else "that have not said who they are"
            raise InstanceHeld(f"processes {who} still hold {path} after {wait_s:g} s")
        time.sleep(_RETRY_S)


def _try(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_owner(fd: int) -> _Owner | None:
    words = os.pread(fd, 200, 0).decode("ascii", "replace").split()
    if len(words) != 3 or not words[0].isdecimal() or not words[1].isdecimal():
        return None
    return _Owner(int(words[0]), int(words[1]), words[2])


def _sign(fd: int) -> None:
    me = os.getpid()
    seen = proc.stat_of(me)
    started_ticks = 0 if seen is None else seen.started_ticks
    # Empty in between means "somebody, not known yet", never an older owner with a newer one's number.
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{me} {started_ticks} {proc.boot_id()}\n".encode(), 0)
