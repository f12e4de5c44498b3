"""Checks of what the system gives the daemon: descriptors, processes, a cgroup; and who was left behind.

What decides is pure; what looks reads /proc and /sys alone.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable
from typing import Final

from supervisor.child import MARK_VARIABLE
from supervisor.config import Pool
from supervisor.doctor.check import Check, ok, skipped, warn

LEAST_OPEN_FILES: Final = 1024
"""Connections of clients, outputs that are followed, sockets of workers."""
OWN_PROCESSES: Final = 16
LEAF: Final = "daemon"
CONTROLLERS: Final = ("memory", "pids", "cpu")
_CGROUP_REMEDY: Final = (
    "optional: exact limits and accounts. With systemd, Delegate=yes in the daemon's unit, or "
    "`systemd-run --user --scope -p Delegate=yes worker-supervisor`"
)


def machine_checks(pools: Iterable[Pool]) -> list[Check]:
    """What the system gives this process, as which the daemon runs, or would run."""
    pools = list(pools)
    return [
        open_files_check(resource.getrlimit(resource.RLIMIT_NOFILE)),
        processes_check(resource.getrlimit(resource.RLIMIT_NPROC), pools, as_root=os.geteuid() == 0),
        cgroup_check(*_cgroup()),
    ]


def open_files_check(limit: tuple[int, int]) -> Check:
    """Whether the daemon may open enough files."""
    found = f"{_words(limit[0])} open files (hard limit {_words(limit[1])})"
    if _below(limit[0], LEAST_OPEN_FILES):
        return warn("open_files", found, f"ulimit -n {LEAST_OPEN_FILES}, or LimitNOFILE={LEAST_OPEN_FILES} in its unit")
    return ok("open_files", found)


def processes_check(limit: tuple[int, int], pools: Iterable[Pool], *, as_root: bool) -> Check:
    """Whether jobs may have the processes that their limits promise. As root each slot's uid is counted by itself."""
    wanted = [(pool.replicas, pool.limits.processes or 0) for pool in pools]
    each = max((processes for _, processes in wanted), default=0)
    needed = each if as_root else sum(replicas * processes for replicas, processes in wanted) + OWN_PROCESSES
    available = limit[1] if as_root else limit[0]
    found = f"{_words(limit[0])} processes (hard limit {_words(limit[1])}), {needed} may be needed"
    if _below(available, needed):
        return warn(
            "processes", found, f"ulimit -u {needed}, LimitNPROC={needed} in its unit, or lower limits.processes"
        )
    return ok("processes", found)


def _below(limit: int, needed: int) -> bool:
    return limit != resource.RLIM_INFINITY and limit < needed


def _words(limit: int) -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else str(limit)


# cgroup v2


def cgroup_check(folder: str | None, writable: bool, controllers: tuple[str, ...]) -> Check:
    """Whether this process has a cgroup v2 to itself. Without one all limits are held by other means."""
    if folder is None:
        return ok("cgroup", "not used: no cgroup v2 is mounted; limits are held by other means", _CGROUP_REMEDY)
    if not writable:
        return ok("cgroup", f"not used: {folder} was not delegated; limits are held by other means", _CGROUP_REMEDY)
    missing = [name for name in CONTROLLERS if name not in controllers]
    if missing:
        found = f"{folder} was delegated, but without {', '.join(missing)}; limits are held by other means"
        return ok("cgroup", found, _CGROUP_REMEDY)
    return ok("cgroup", f"{folder} was delegated with {', '.join(CONTROLLERS)}")


def _cgroup() -> tuple[str | None, bool, tuple[str, ...]]:
    """(the folder of this process's cgroup v2, whether it is ours to manage, its controllers)."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            own = next((line.rstrip("\n")[3:] for line in file if line.startswith("0::")), None)
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            mount = next((line.split()[4] for line in file if " - cgroup2 " in line), None)
        if own is None or mount is None:
            return None, False, ()
        folder = mount + own.rstrip("/")
        # A group with processes of its own can give nothing to groups below it: the daemon then lives in a leaf.
        if os.path.basename(folder) == LEAF and _is_marked(os.path.dirname(folder)):
            folder = os.path.dirname(folder)
        with open(f"{folder}/cgroup.controllers", encoding="ascii") as file:
            controllers = tuple(file.read().split())
    except OSError:
        return None, False, ()
    # Root may write to every group: only the system's mark says that one was given away.
    return (
        folder,
        _is_marked(folder) or (os.geteuid() != 0 and os.access(f"{folder}/cgroup.procs", os.W_OK)),
        controllers,
    )


def _is_marked(folder: str) -> bool:
    for name in ("trusted.delegate", "user.delegate"):
        try:
            if os.getxattr(folder, name) == b"1":
                return True
        except OSError:
            continue
    return False


# Who was left behind


def leftovers_check(instance: str | None, arbiter: int | None) -> Check:
    """Processes with the mark of this state folder that are no descendants of `arbiter` (None: none may be there)."""
    if instance is None:
        return skipped("leftovers", "this state folder has had no daemon yet")
    # Looked at twice: a process whose parent dies at that moment seems to be a stranger once.
    strangers = _strangers(instance, arbiter)
    if strangers:
        strangers &= _strangers(instance, arbiter)
    if not strangers:
        return ok("leftovers", "none: no process of an earlier daemon of this state folder is alive")
    pids = " ".join(str(pid) for pid in sorted(strangers)[:20])
    return warn(
        "leftovers",
        f"{len(strangers)} processes of an earlier daemon of this state folder are alive: pids {pids}",
        "the daemon's next start kills them",
    )


def _strangers(instance: str, arbiter: int | None) -> set[int]:
    wanted = f"{MARK_VARIABLE}={instance}".encode()
    marked = {int(name) for name in os.listdir("/proc") if name.isdecimal() and _has(int(name), wanted)}
    return {pid for pid in marked - {os.getpid()} if arbiter is None or not _descends(pid, arbiter)}


def _has(pid: int, variable: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return variable in file.read().split(b"\0")
    except OSError:
        return False


def _descends(pid: int, ancestor: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                pid = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            # It has gone meanwhile, and with it the question.
            return True
    return pid == ancestor
