"""Refuses system calls that no job needs, by seccomp with a hand-made program of classic BPF.

Invariant: the program is a deny-list: a call that it does not know is allowed, a call of another ABI kills. It is
assembled once a holder and only loaded for each job; a filter is inherited and can never be taken off.
Never: relies on it alone for files or network where a namespace or Landlock can do it; guesses numbers: on a
machine without a table nothing is loaded, and the account of what is enforced says so.
"""

from __future__ import annotations

import errno
import os
import struct
import sys

from supervisor.sandbox import syscalls
from supervisor.sandbox.mechanisms import denied_calls as calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervisor.sandbox.site import Order, Room, Site

    Instruction = tuple[int, int, int, int]
    Code = list[Instruction]

# Architecture of seccomp_data, by machine: the column of its numbers, and AUDIT_ARCH_*.
_MACHINES = {"x86_64": (0, 0xC000_003E), "aarch64": (1, 0xC000_00B7)}
_X32_BIT = 0x4000_0000

_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _MACHINE_AT, _FIRST_ARGUMENT_AT, _SECOND_ARGUMENT_AT = 0, 4, 16, 24  # low words, little-endian
_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF_0000, 0x0005_0000, 0x8000_0000
_FARTHEST_JUMP = 255

_NEW_NAMESPACES = 0x7E02_0000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_PRIO_PROCESS, _IOPRIO_WHO_PROCESS = 0, 1
_F_SETLEASE = 1024
_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16
_DATAGRAM_BIT = 2  # of the two types that have no connection, SOCK_DGRAM and SOCK_RAW
_FALLOC_FL_KEEP_SIZE, _PUNCH_HOLE_AND_KEEP_SIZE = 1, 3
_RESERVING_IOCTLS = (0x4030_5828, 0x4030_582A, 0x4030_5839)  # FS_IOC_RESVSP, RESVSP64, ZERO_RANGE


def supported() -> bool:
    """Whether there is a table for this machine and this process's ABI."""
    return os.uname().machine in _MACHINES and sys.maxsize > 1 << 32 and sys.byteorder == "little"


def tell(site: Site) -> dict[str, str]:
    if supported():
        return {"system_calls": "seccomp: deny-list of system calls"}
    return {"system_calls": f"not enforced: there is no table of system calls for {os.uname().machine}"}


def tell_alone(site: Site) -> dict[str, str]:
    if supported():
        return {
            "system_calls": "seccomp: deny-list of system calls",
            "unix_sockets": "seccomp: no socket can be made that connects or sends to one (socketpair of streams works)",
            "network": "seccomp: no internet socket, so not even a loopback (unless network is allowed)",
            "ipc": "seccomp: no System V or POSIX message queue, semaphore or shared memory of the kernel's",
        }
    return tell(site)


def assemble(site: Site) -> None:
    """For levels where the job's network, IPC and files are namespaces of its own."""
    if supported():
        program = program_for(os.uname().machine, _families(internet=True, unix=True), ipc=True)
        site.filters = {False: program, True: program}


def assemble_alone(site: Site) -> None:
    """For levels where it shares the host's: what the kernel's other means cannot refuse is refused here."""
    if supported():
        for network in (False, True):
            families = _families(internet=network, unix=False)
            site.filters[network] = program_for(os.uname().machine, families, ipc=False)


def load_on_keeper(site: Site, room: Room) -> None:
    """A keeper of one job takes it on with its last step before the job, which inherits it."""
    _load(site, room)


def load_on_job(site: Site, room: Room, order: Order) -> None:
    """A keeper of many jobs must not: filters add up. Each job does, as its last step before the program."""
    _load(site, room)


def _load(site: Site, room: Room) -> None:
    program = site.filters.get(room.network)
    if program is not None:
        syscalls.load_filter(program)


def _families(*, internet: bool, unix: bool) -> dict[int, int]:
    """Address family -> what socket() answers for it; any other is not supported."""
    internet_answer = _ALLOW if internet else _ERRNO | errno.ENETUNREACH
    unix_answer = _ALLOW if unix else _ERRNO | errno.EACCES
    return {_UNIX: unix_answer, _INET: internet_answer, _INET6: internet_answer, _NETLINK: _ALLOW}


def program_for(machine: str, families: dict[int, int], *, ipc: bool) -> bytes:
    """The whole filter. seccomp(2): it runs for every call and returns what shall become of it."""
    column, audit_arch = _MACHINES[machine]
    leaves = _leaves(column, families, ipc=ipc)
    if column == 0:
        leaves[_X32_BIT] = _answer(_ERRNO | errno.ENOSYS)
    boundaries: list[tuple[int, Code]] = [(0, _answer(_ALLOW))]
    for number in sorted(leaves):
        if boundaries[-1][0] == number:
            boundaries.pop()
        boundaries.append((number, leaves[number]))
        if number != _X32_BIT:
            boundaries.append((number + 1, _answer(_ALLOW)))
    head = [
        (_LOAD, 0, 0, _MACHINE_AT),
        (_JUMP_EQUAL, 1, 0, audit_arch),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in head + _search(boundaries))


def _leaves(column: int, families: dict[int, int], *, ipc: bool) -> dict[int, Code]:
    """What is done about each call that is not simply allowed."""
    absent = calls.ABSENT if ipc else calls.ABSENT | calls.ABSENT_WITHOUT_IPC_NAMESPACE
    found = {numbers[column]: _answer(_ERRNO | errno.EPERM) for numbers in calls.FORBIDDEN.values()}
    found |= {numbers[column]: _answer(_ERRNO | errno.ENOSYS) for numbers in absent.values()}
    found |= {numbers[column]: _unless(_FIRST_ARGUMENT_AT, 0) for numbers in calls.ABOUT_A_PROCESS.values()}
    found.pop(calls.NONE, None)
    found[calls.CLONE[column]] = [
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        (_JUMP_ANY_BIT, 0, 1, _NEW_NAMESPACES),
        *_answer(_ERRNO | errno.EPERM),
        *_answer(_ALLOW),
    ]
    found[calls.FCNTL[column]] = [
        (_LOAD, 0, 0, _SECOND_ARGUMENT_AT),
        (_JUMP_EQUAL, 0, 1, _F_SETLEASE),
        *_answer(_ERRNO | errno.EPERM),
        *_answer(_ALLOW),
    ]
    found[calls.SOCKET[column]] = _by_family(families)
    found[calls.FALLOCATE[column]] = _no_reserve()
    found[calls.IOCTL[column]] = [
        (_LOAD, 0, 0, _SECOND_ARGUMENT_AT),
        *(part for one in _RESERVING_IOCTLS for part in _refuse_if(_JUMP_EQUAL, one, errno.EOPNOTSUPP)),
        *_answer(_ALLOW),
    ]
    if families.get(_UNIX, _ALLOW) != _ALLOW:
        # A datagram's end can be sent and connected to any other; a stream's is connected for good.
        found[calls.SOCKETPAIR[column]] = [
            (_LOAD, 0, 0, _SECOND_ARGUMENT_AT),
            *_refuse_if(_JUMP_ANY_BIT, _DATAGRAM_BIT, errno.EACCES),
            *_answer(_ALLOW),
        ]
    found[calls.SETPRIORITY[column]] = _only_oneself(_PRIO_PROCESS)
    found[calls.IOPRIO_SET[column]] = _only_oneself(_IOPRIO_WHO_PROCESS)
    return found


def _answer(value: int) -> Code:
    return [(_RETURN, 0, 0, value)]


def _refuse_if(jump: int, value: int, number: int) -> Code:
    return [(jump, 0, 1, value), *_answer(_ERRNO | number)]


def _no_reserve() -> Code:
    """Space behind a file's end counts for no limit of its size: reserved for its output, it would fill the daemon's
    disk. Callers go on without."""
    return [
        (_LOAD, 0, 0, _SECOND_ARGUMENT_AT),
        (_JUMP_EQUAL, 0, 1, _PUNCH_HOLE_AND_KEEP_SIZE),
        *_answer(_ALLOW),
        *_refuse_if(_JUMP_ANY_BIT, _FALLOC_FL_KEEP_SIZE, errno.EOPNOTSUPP),
        *_answer(_ALLOW),
    ]


def _unless(argument_at: int, value: int) -> Code:
    """EPERM unless an argument has this value."""
    return [
        (_LOAD, 0, 0, argument_at),
        (_JUMP_EQUAL, 0, 1, value),
        *_answer(_ALLOW),
        *_answer(_ERRNO | errno.EPERM),
    ]


def _only_oneself(which: int) -> Code:
    """EPERM unless it is about a process, and that is 0."""
    return [
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        (_JUMP_EQUAL, 1, 0, which),
        *_answer(_ERRNO | errno.EPERM),
        *_unless(_SECOND_ARGUMENT_AT, 0),
    ]


def _by_family(families: dict[int, int]) -> Code:
    code: Code = [(_LOAD, 0, 0, _FIRST_ARGUMENT_AT)]
    for family, answer in families.items():
        code += [(_JUMP_EQUAL, 0, 1, family), *_answer(answer)]
    return code + _answer(_ERRNO | errno.EAFNOSUPPORT)


def _search(boundaries: list[tuple[int, Code]]) -> Code:
    """A binary search for the call's number: (first number, what is done from there on), in order. Every piece of
    code ends with a return, so nothing falls from one into the next."""
    if len(boundaries) == 1:
        return boundaries[0][1]
    middle = len(boundaries) // 2
    below, above = _search(boundaries[:middle]), _search(boundaries[middle:])
    if len(below) > _FARTHEST_JUMP:
        raise ValueError("the filter has become too long for its jumps")
    return [(_JUMP_GREATER_EQUAL, len(below), 0, boundaries[middle][0]), *below, *above]
