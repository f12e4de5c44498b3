"""Landlock: what a job may open, run, connect to and signal, where it has no namespaces of its own.

Invariant: everything is refused that no rule grants, as far as the kernel's ABI knows the right; what the ABI
lacks is said in the account of what is enforced. A ruleset is made for each job and bound in its child.
Never: grants a place outside the system, the job's own work folder, its own output files and the caller's binds.
"""

from __future__ import annotations

import errno
import os
import stat
import struct

from supervisor.sandbox import syscalls
from supervisor.sandbox.mechanisms.binds import refuse_binds_of_state
from supervisor.sandbox.site import Order, Room, Site

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_RIGHTS_OF_ABI_1 = (1 << 13) - 1
_LATER_RIGHTS = ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV))
_ABI_WITH_TCP, _ABI_WITH_SCOPES = 4, 6
_BIND_AND_CONNECT_TCP = 3
_ABSTRACT_SOCKETS_AND_SIGNALS = 3
_RULE_BELOW_A_PATH = 1

_READ = _EXECUTE | _READ_FILE | _READ_DIR
_WORK = ~(_MAKE_CHAR | _MAKE_BLOCK)
_DEVICE = _READ_FILE | _WRITE_FILE | _TRUNCATE | _IOCTL_DEV
_OUTPUT = _READ_FILE | _WRITE_FILE | _TRUNCATE
_OF_A_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/sys/devices/system/cpu")
_OF_ETC = ("alternatives", "ca-certificates", "crypto-policies", "gai.conf", "group", "host.conf", "hosts", "ld.so.cache",
           "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types", "nsswitch.conf", "passwd", "pki", "protocols",
           "python3", "resolv.conf", "services", "ssl", "timezone")  # fmt: skip
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


def abi() -> int:
    """The kernel's, 0 if it has no Landlock or it is off."""
    try:
        return syscalls.landlock_abi()
    except OSError:
        return 0


def require(site: Site) -> None:
    """In the holder, so that a kernel without it refuses the level and not a job."""
    syscalls.landlock_abi()
    refuse_binds_of_state(site)


def tell(site: Site) -> dict[str, str]:
    version = abi()
    files = (
        f"Landlock (ABI {version}): system and binds read-only, the work folder, nothing else of the host, no /dev/shm"
    )
    if version < 3:
        files += "; truncating a file of the job's own uid by its path is not refused (needs ABI 3, Linux 6.2)"
    if os.geteuid() == site.uid:
        files += "; changing mode, times and attributes of the daemon's files is not refused (no ABI can)"
    seen = "Landlock: the job sees the names of the host's processes, and may not look into them"
    network = "Landlock: no TCP (unless network is allowed); UDP is not refused"
    if version < _ABI_WITH_TCP:
        network = "not enforced: needs Landlock ABI 4 (Linux 6.7)"
    signals = "Landlock: only to its own processes"
    if version < _ABI_WITH_SCOPES:
        signals = "not enforced: the job may signal whatever has its uid; needs Landlock ABI 6 (Linux 6.12)"
    return {"files": files, "other_processes": seen, "network": network, "signals": signals}


def tell_scope(site: Site) -> dict[str, str]:
    if abi() >= _ABI_WITH_SCOPES:
        return {"unix_sockets": "private root; Landlock: no abstract socket of the host, even with its network"}
    return {"unix_sockets": "private root; with the host's network its abstract sockets can be reached"}


def make_rules(site: Site, room: Room) -> None:
    """Everything that is known before the job is, ordered by nothing: rules only add."""
    version = syscalls.landlock_abi()
    known = _known_rights(version)
    network = _BIND_AND_CONNECT_TCP if version >= _ABI_WITH_TCP and not room.network else 0
    room.ruleset_fd = ruleset = _new_ruleset(version, known, network)
    for place in (*_SYSTEM, *(f"/etc/{name}" for name in _OF_ETC)):
        _grant_path(ruleset, place, _READ & known)
    for place in _DEVICES:
        _grant_path(ruleset, place, _DEVICE & known)
    for source, _target, writable in site.binds:
        _grant_path(ruleset, source, (_WORK if writable else _READ) & known, needed=True)
    _grant(ruleset, room.work_fd, _WORK & known)


def bind_job(site: Site, room: Room, order: Order) -> None:
    known = _known_rights(syscalls.landlock_abi())
    for fd in order.fds:
        # /dev/stderr and /proc/self/fd/2 open the file anew.
        if stat.S_ISREG(os.fstat(fd).st_mode):
            try:
                _grant(room.ruleset_fd, fd, _OUTPUT & known)
            except OSError as error:
                if error.errno != errno.EBADFD:  # a file of no mount, which no rule can name and none refuses
                    raise
    syscalls.landlock_restrict(room.ruleset_fd)


def scope_job(site: Site, room: Room, order: Order) -> None:
    """On top of namespaces: with the host's network a job would reach the host's abstract sockets."""
    version = abi()
    if version >= _ABI_WITH_SCOPES:
        ruleset = _new_ruleset(version, 0, 0)
        syscalls.landlock_restrict(ruleset)
        os.close(ruleset)


def _known_rights(version: int) -> int:
    return _RIGHTS_OF_ABI_1 | sum(right for since, right in _LATER_RIGHTS if version >= since)


def _new_ruleset(version: int, files: int, network: int) -> int:
    attributes = struct.pack("=QQQ", files, network, _ABSTRACT_SOCKETS_AND_SIGNALS)
    known_bytes = 8 if version < _ABI_WITH_TCP else 16 if version < _ABI_WITH_SCOPES else 24
    return syscalls.landlock_ruleset(attributes[:known_bytes])


def _grant_path(ruleset: int, path: str, rights: int, *, needed: bool = False) -> None:
    """A place of the system that is not there needs no rule. The rule is for what a link leads to."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        if not needed and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
            return
        raise
    try:
        _grant(ruleset, fd, rights)
    finally:
        os.close(fd)


def _grant(ruleset: int, fd: int, rights: int) -> None:
    if not stat.S_ISDIR(os.fstat(fd).st_mode):
        rights &= _OF_A_FILE
    syscalls.landlock_add_rule(ruleset, _RULE_BELOW_A_PATH, struct.pack("=Qi", rights, fd))
