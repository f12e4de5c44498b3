"""A user namespace for a daemon that is not root: its own uid is mapped to itself, and nothing else.

Invariant: entered once a holder, before any other namespace; no further user namespace can be made inside.
Never: used by root, whose jobs get a uid of their own.
"""

from __future__ import annotations

import os

from supervisor.sandbox import syscalls
from supervisor.sandbox.site import Site


def enter(site: Site) -> None:
    """Makes the holder all-powerful inside a world of one user."""
    uid, gid = os.geteuid(), os.getegid()
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    # The kernel shows /proc/self/*_map of a non-dumpable process as root's.
    syscalls.set_dumpable(True)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{uid} {uid} 1")
    _write("/proc/self/gid_map", f"{gid} {gid} 1")
    site.processes_beside_job = 2  # inside, holder and keeper are processes of the job's uid, and nobody else is


def forbid_another(site: Site) -> None:
    """A job shall not become all-powerful in a namespace of its own (more kernel to attack)."""
    _write("/proc/sys/user/max_user_namespaces", "0")


def _write(path: str, content: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, content.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(fd)
