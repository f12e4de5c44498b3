"""Runs a command as a container engine would run it with its default restrictions, where there is no engine.

`python container.py [--init] ENVIRONMENT STATE COMMAND…`, as root. The command is process 1 (or below a small init) of
namespaces of its own, as uid 10001 with no capability, on a read-only root with the environment at /opt/worker-supervisor
and the state folder at /var/lib/worker-supervisor, with Docker's masks over /proc, and under a filter of system calls that
refuses what Docker's refuses to who has no CAP_SYS_ADMIN: mounts, new namespaces, keyrings, bpf.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import struct
import sys

from supervisor.sandbox import syscalls
from supervisor.sandbox.mechanisms import denied_calls as calls

UID = 10001
HIDDEN = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sysrq-trigger", "/proc/interrupts")
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys")
REFUSED = (
    "mount", "umount2", "pivot_root", "unshare", "setns", "sethostname", "setdomainname", "bpf", "perf_event_open",
    "fanotify_init", "keyctl", "add_key", "request_key", "open_tree", "move_mount", "fsopen", "fsmount", "mount_setattr",
    "open_by_handle_at", "userfaultfd", "quotactl", "reboot", "swapon", "swapoff", "init_module", "delete_module",
)  # fmt: skip
_COLUMN, _AUDIT_ARCH = {"x86_64": (0, 0xC000_003E), "aarch64": (1, 0xC000_00B7)}[os.uname().machine]
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF_0000, 0x0005_0000
_NEW_NAMESPACES = 0x7E02_0000
_CLONE3 = 435
_CLONE_NEWCGROUP = 0x0200_0000
_LAST_CAPABILITY = 63


def main(arguments: list[str]) -> int:
    """The exit status of the command."""
    with_init = arguments[0] == "--init"
    environment, state, *command = arguments[with_init:]
    kinds = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS
    syscalls.unshare(kinds | syscalls.CLONE_NEWNET | _CLONE_NEWCGROUP)
    first = os.fork()
    if first == 0:
        build_root(environment, state)
        give_up_rights()
        os.chdir("/var/lib/worker-supervisor")
        if with_init:
            be_init(command)
        os.execvp(command[0], command)
    return forward(first)


def build_root(environment: str, state: str) -> None:
    """What the command sees of the file system."""
    private = syscalls.MS_REC | syscalls.MS_PRIVATE
    syscalls.mount(None, "/", None, private)
    places = {"/opt/worker-supervisor": environment, environment: environment, "/var/lib/worker-supervisor": state}
    held = {target: os.open(source, os.O_PATH) for target, source in places.items()}
    for folder in ("/tmp", "/var/tmp", "/run", "/opt", "/var/lib", "/dev/shm"):
        syscalls.mount("tmpfs", folder, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV)
        os.chmod(folder, 0o1777 if folder.endswith(("tmp", "shm")) else 0o755)
    os.mkdir("/run/worker-supervisor", 0o700)
    os.chown("/run/worker-supervisor", UID, UID)
    for target, fd in held.items():
        os.makedirs(target, 0o755, exist_ok=True)
        syscalls.mount(f"/proc/self/fd/{fd}", target, None, syscalls.MS_BIND)
        os.close(fd)
    syscalls.mount("proc", "/proc", "proc", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)
    for path in filter(os.path.exists, HIDDEN):
        syscalls.mount("/dev/null", path, None, syscalls.MS_BIND)
    for path in filter(os.path.exists, READ_ONLY):
        syscalls.mount(path, path, None, syscalls.MS_BIND)
        syscalls.mount(None, path, None, syscalls.MS_BIND | syscalls.MS_REMOUNT | syscalls.MS_RDONLY)
    syscalls.mount(None, "/", None, syscalls.MS_BIND | syscalls.MS_REMOUNT | syscalls.MS_RDONLY)


def give_up_rights() -> None:
    """Capabilities, root, and the system calls that a container has not."""
    for capability in range(_LAST_CAPABILITY + 1):
        with contextlib.suppress(OSError):
            syscalls.drop_bounding_capability(capability)
    os.setgroups([])
    os.setresgid(UID, UID, UID)
    os.setresuid(UID, UID, UID)
    syscalls.die_with_parent()
    syscalls.refuse_new_privileges()
    syscalls.load_filter(filter_program())


def filter_program() -> bytes:
    """seccomp(2): an answer for each call."""
    numbers = {calls.FORBIDDEN[name][_COLUMN] for name in REFUSED if name in calls.FORBIDDEN} - {calls.NONE}
    code = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, _AUDIT_ARCH), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS), (_LOAD, 0, 0, 0)]
    for number in sorted(numbers):
        code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | errno.EPERM)]
    code += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    code += [(_EQUAL, 0, 3, calls.CLONE[_COLUMN]), (_LOAD, 0, 0, 16)]
    code += [(_ANY_BIT, 0, 1, _NEW_NAMESPACES), (_RETURN, 0, 0, _ERRNO | errno.EPERM), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def be_init(command: list[str]) -> None:
    """What `docker run --init` puts in front: forwards a signal, reaps all, ends with its child."""
    child = os.fork()
    if child == 0:
        os.execvp(command[0], command)
    os._exit(forward(child))


def forward(child: int) -> int:
    """Passes SIGTERM on until the child has ended; its exit status."""
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
