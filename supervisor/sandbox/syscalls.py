"""Every system call that the standard library does not offer, in one place, each with its man page.

Invariant: a wrapper either did what its name says or raised OSError with the kernel's errno.
Never: decides anything, logs, or keeps state.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_ARM = os.uname().machine == "aarch64"
_NR_CLONE = 220 if _ARM else 56
_NR_PIVOT_ROOT = 41 if _ARM else 155
_NR_KEYCTL = 219 if _ARM else 250
_NR_SIGACTION = 134 if _ARM else 13
_NR_PIDFD_SEND_SIGNAL = 424
_NR_CLOSE_RANGE = 436
_NR_MOUNT_SETATTR = 442
_NR_LANDLOCK_CREATE_RULESET, _NR_LANDLOCK_ADD_RULE, _NR_LANDLOCK_RESTRICT_SELF = 444, 445, 446

CLONE_PIDFD = 0x0000_1000
CLONE_NEWNS = 0x0002_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE = 32, 4096, 8192, 16384, 1 << 18
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID, _MOUNT_ATTR_NODEV = 1, 2, 4
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NAME, _PR_CAPBSET_DROP = 1, 4, 15, 24
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, _BPF_INSTRUCTION_BYTES = 22, 2, 8
_LANDLOCK_VERSION = 1
_PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 36, 37, 38
_KEYCTL_JOIN_SESSION_KEYRING = 1
_LINUX_CAPABILITY_VERSION_3 = 0x2008_0522
CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SYS_PTRACE = 5, 6, 7, 19

SIGKILL, SIGTERM, SIGCHLD, SIGCONT = 9, 15, 17, 18
_SIG_SETMASK = 2
_SIGSET_BYTES = 128
_KERNEL_SIGSET_BYTES = 8
_SIGACTION_BYTES = 32
_LAST_SIGNAL = 64
_SFD_NONBLOCK, _SFD_CLOEXEC = 0o4000, 0o2000000
_CLOSE_RANGE_CLOEXEC = 4
_MAX_FD = 0xFFFF_FFFF


_int, _long, _ulong, _text, _pointer = (
    ctypes.c_int, ctypes.c_long, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_void_p,
)  # fmt: skip


def _bind(library: ctypes.CDLL, name: str, *argument_types: Any) -> Callable[..., int]:
    """Looked up here and now: a look-up in a fresh keeper costs it a hundred page faults, for each job again."""
    function = library[name]
    function.argtypes = argument_types
    function.restype = _long
    return function


_libc = ctypes.CDLL(None, use_errno=True)
# PyDLL keeps the GIL over the call: a raw clone must not come back into another lock state than it left.
_libc_gil = ctypes.PyDLL(None, use_errno=True)
_clone = _bind(_libc_gil, "syscall", _long, _ulong, _ulong, _pointer, _ulong, _ulong)
_unshare = _bind(_libc, "unshare", _int)
_mount = _bind(_libc, "mount", _text, _text, _text, _ulong, _text)
_umount2 = _bind(_libc, "umount2", _text, _int)
_mount_setattr = _bind(_libc, "syscall", _long, _long, _text, _long, _text, _long)
_pivot_root = _bind(_libc, "syscall", _long, _text, _text)
_sethostname = _bind(_libc, "sethostname", _text, ctypes.c_size_t)
_syscall = _bind(_libc, "syscall", _long, _long, _long, _long, _long)
_prctl_number = _bind(_libc, "prctl", _int, _ulong, _ulong, _ulong, _ulong)
_prctl_text = _bind(_libc, "prctl", _int, _text, _ulong, _ulong, _ulong)
_prctl_filter = _bind(_libc, "prctl", _int, _ulong, _text, _ulong, _ulong)
_landlock = _bind(_libc, "syscall", _long, _text, _ulong, _ulong)
_landlock_add_rule = _bind(_libc, "syscall", _long, _long, _long, _text, _ulong)
_prctl_answer = _bind(_libc, "prctl", _int, _pointer, _ulong, _ulong, _ulong)
_capset = _bind(_libc, "capset", _text, _text)
_sigprocmask = _bind(_libc, "sigprocmask", _int, _text, _pointer)
_signalfd = _bind(_libc, "signalfd", _int, _text, _int)
_rt_sigaction = _bind(_libc, "syscall", _long, _long, _text, _long, _long)


def _check(result: int, path: str | None = None) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result


def _path(path: str | None) -> bytes | None:
    return None if path is None else os.fsencode(path)


def unshare(flags: int) -> None:
    """unshare(2)."""
    _check(_unshare(flags))


def clone(flags: int) -> tuple[int, int]:
    """clone(2) with SIGCHLD and no new stack: (pid, pidfd) in the parent, (0, -1) in the child.

    Hazards, all on the caller: the process must have one thread; libc's atfork handlers and Python's do not
    run, so the child must use no lock, thread or random state that one of them would renew, and libc's cached
    thread id in the child is the parent's until its next os.fork(); every descriptor is shared; the child
    must leave by os._exit().
    """
    pidfd = ctypes.c_int(-1)
    pid = _check(_clone(_NR_CLONE, flags | CLONE_PIDFD | SIGCHLD, 0, ctypes.addressof(pidfd), 0, 0))
    return (pid, pidfd.value) if pid else (0, -1)


def mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """mount(2)."""
    result = _mount(_path(source), _path(target), _path(kind), flags, _path(options))
    _check(result, source if flags & MS_BIND and source else target)


def unmount(target: str) -> None:
    """umount2(2), lazily and with everything mounted below."""
    _check(_umount2(_path(target), MNT_DETACH | UMOUNT_NOFOLLOW), target)


def harden_mount(target: str, *, writable: bool) -> None:
    """mount_setattr(2) on the whole tree below: nosuid, nodev and, unless writable, read-only."""
    wanted = _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV | (0 if writable else _MOUNT_ATTR_RDONLY)
    attributes = struct.pack("=QQQQ", wanted, 0, 0, 0)
    flags = _AT_RECURSIVE
    _check(_mount_setattr(_NR_MOUNT_SETATTR, _AT_FDCWD, _path(target), flags, attributes, len(attributes)))


def pivot_root_here() -> None:
    """pivot_root(2) with "." for both: the working directory becomes /, the old root lies on top of it."""
    _check(_pivot_root(_NR_PIVOT_ROOT, b".", b"."))


def set_hostname(name: bytes) -> None:
    """sethostname(2)."""
    _check(_sethostname(name, len(name)))


def join_new_session_keyring() -> None:
    """keyctl(2) KEYCTL_JOIN_SESSION_KEYRING with no name."""
    _check(_syscall(_NR_KEYCTL, _KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0))


def _prctl(option: int, value: int = 0) -> int:
    return _check(_prctl_number(option, value, 0, 0, 0))


def die_with_parent() -> None:
    """prctl(2) PR_SET_PDEATHSIG=SIGKILL. A later setuid clears it; it follows the parent's THREAD."""
    _prctl(_PR_SET_PDEATHSIG, SIGKILL)


def set_dumpable(dumpable: bool) -> None:
    """prctl(2) PR_SET_DUMPABLE: who may look into this process and own its /proc files. exec sets it again."""
    _prctl(_PR_SET_DUMPABLE, int(dumpable))


def set_name(name: bytes) -> None:
    """prctl(2) PR_SET_NAME, at most 15 bytes."""
    _check(_prctl_text(_PR_SET_NAME, name, 0, 0, 0))


def refuse_new_privileges() -> None:
    """prctl(2) PR_SET_NO_NEW_PRIVS, for good and for all descendants."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def become_subreaper() -> None:
    """prctl(2) PR_SET_CHILD_SUBREAPER: orphaned descendants become children of this process."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def is_subreaper() -> bool:
    """prctl(2) PR_GET_CHILD_SUBREAPER."""
    answer = ctypes.c_int(0)
    _check(_prctl_answer(_PR_GET_CHILD_SUBREAPER, ctypes.addressof(answer), 0, 0, 0))
    return bool(answer.value)


def drop_bounding_capability(capability: int) -> None:
    """prctl(2) PR_CAPBSET_DROP; EINVAL means that the kernel has no capability of that number."""
    _prctl(_PR_CAPBSET_DROP, capability)


def keep_capabilities(capabilities: tuple[int, ...]) -> None:
    """capset(2): effective and permitted become exactly these, inheritable none. Can only take away."""
    bits = sum(1 << capability for capability in capabilities)
    header = struct.pack("=Ii", _LINUX_CAPABILITY_VERSION_3, 0)
    low, high = bits & 0xFFFF_FFFF, bits >> 32
    _check(_capset(header, struct.pack("=6I", low, low, 0, high, high, 0)))


def _signal_set(signals: tuple[int, ...]) -> bytes:
    bits = sum(1 << (number - 1) for number in signals)
    return bits.to_bytes(_SIGSET_BYTES, sys.byteorder)


def block_signals(signals: tuple[int, ...]) -> None:
    """sigprocmask(2): the mask becomes exactly these."""
    _check(_sigprocmask(_SIG_SETMASK, _signal_set(signals), None))


def open_signal_fd(signals: tuple[int, ...]) -> int:
    """signalfd(2), non-blocking, close-on-exec. Each process that polls it sees its own pending signals."""
    return _check(_signalfd(-1, _signal_set(signals), _SFD_NONBLOCK | _SFD_CLOEXEC))


def reset_signal_handlers() -> None:
    """rt_sigaction(2): every signal to SIG_DFL, libc's own two and Python's included."""
    default = bytes(_SIGACTION_BYTES)
    for number in range(1, _LAST_SIGNAL + 1):  # EINVAL for SIGKILL and SIGSTOP
        _rt_sigaction(_NR_SIGACTION, number, default, 0, _KERNEL_SIGSET_BYTES)


def signal_by_pidfd(pidfd: int, number: int) -> None:
    """pidfd_send_signal(2)."""
    _check(_syscall(_NR_PIDFD_SEND_SIGNAL, pidfd, number, 0, 0))


def close_on_exec_from(first_fd: int) -> None:
    """close_range(2) with CLOSE_RANGE_CLOEXEC (Linux 5.11): nothing from first_fd on survives an exec."""
    _check(_syscall(_NR_CLOSE_RANGE, first_fd, _MAX_FD, _CLOSE_RANGE_CLOEXEC, 0))


def overwrite(address: int, content: bytes) -> None:
    """memmove(3) into this process's own memory."""
    ctypes.memmove(address, content, len(content))


def load_filter(program: bytes) -> None:
    """prctl(2) PR_SET_SECCOMP with a program of classic BPF, for good and for all descendants."""
    place = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("@HP", len(program) // _BPF_INSTRUCTION_BYTES, ctypes.addressof(place))
    _check(_prctl_filter(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, described, 0, 0))


def landlock_abi() -> int:
    """landlock_create_ruleset(2) for the ABI's number. OSError: ENOSYS not built in, EOPNOTSUPP off at boot."""
    return _check(_landlock(_NR_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_VERSION))


def landlock_ruleset(attributes: bytes) -> int:
    """landlock_create_ruleset(2): a close-on-exec descriptor."""
    return _check(_landlock(_NR_LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0))


def landlock_add_rule(ruleset_fd: int, kind: int, rule: bytes) -> None:
    """landlock_add_rule(2)."""
    _check(_landlock_add_rule(_NR_LANDLOCK_ADD_RULE, ruleset_fd, kind, rule, 0))


def landlock_restrict(ruleset_fd: int) -> None:
    """landlock_restrict_self(2), for good and for all descendants."""
    _check(_syscall(_NR_LANDLOCK_RESTRICT_SELF, ruleset_fd, 0, 0, 0))
