"""What a job may not do or become: its uid, its capabilities, its kernel keys, its place when memory runs out.

Invariant: after the job phase the process has no capability and, under a root daemon, is not root.
Never: gives anything; each step only takes away.
"""

from __future__ import annotations

import errno
import os

from supervisor.sandbox import syscalls
from supervisor.sandbox.site import Order, Room, Site

_MOST_CAPABILITIES = 64
_KEEPER_NEEDS = (syscalls.CAP_KILL, syscalls.CAP_SETGID, syscalls.CAP_SETUID, syscalls.CAP_SYS_PTRACE)


def refuse_new_privileges(site: Site) -> None:
    syscalls.refuse_new_privileges()


def hide_holder(site: Site) -> None:
    """Holder and keepers hold the instance lock and, under root, real power: nobody shall look into them."""
    syscalls.set_dumpable(False)


def empty_bounding_set(site: Site) -> None:
    """Once a holder, inherited by all. An ordinary user at level plain may not, and has nothing to lose."""
    for capability in range(_MOST_CAPABILITIES):
        try:
            syscalls.drop_bounding_capability(capability)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.EPERM):
                return
            raise


def weaken_keeper(site: Site, room: Room) -> None:
    """The keeper of one job keeps what it needs to start, measure and kill it."""
    syscalls.keep_capabilities(_KEEPER_NEEDS)


def be_nobody(site: Site, room: Room, order: Order) -> None:
    syscalls.keep_capabilities(())


def become_slot_uid(site: Site, room: Room, order: Order) -> None:
    os.setgroups([])
    os.setresgid(site.gid, site.gid, site.gid)
    os.setresuid(site.uid, site.uid, site.uid)


def become_user(site: Site, room: Room, order: Order) -> None:
    """For the operator's own code: root stays root if that is who it shall be."""
    os.setgroups(site.groups)
    os.setresgid(site.gid, site.gid, site.gid)
    os.setresuid(site.uid, site.uid, site.uid)


def join_new_keyring(site: Site, room: Room) -> None:
    """Keys of one job are not the next one's. A kernel without keys has none to share, and a filter above us that
    refuses this call (a container's, as a rule) refuses it to the job as well."""
    try:
        syscalls.join_new_session_keyring()
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise


def be_first_to_go(site: Site, room: Room, order: Order) -> None:
    """oom_score_adj: if the machine runs out of memory, the job is killed and not the daemon."""
    syscalls.set_dumpable(True)  # else an ordinary user's own /proc files are root's
    fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, b"1000")
    finally:
        os.close(fd)
        syscalls.set_dumpable(False)
