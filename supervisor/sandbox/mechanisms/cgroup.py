"""A cgroup v2 of its own for each job, below a folder that was delegated to the daemon.

Invariant: nothing depends on it. Limits, kills and accounts of the keeper hold without; whatever cannot be read or
written here is left to them, and the account of what is enforced says so in one sentence.
Never: touches a group that is not below the delegated folder and named after its slot.

Written against Documentation/admin-guide/cgroup-v2.rst. cgroup.procs, cgroup.kill and cpu.stat were run on a kernel;
memory.*, pids.* and cpu.max only on a tree of plain files, because no machine with these controllers was at hand.
"""

from __future__ import annotations

import os
import time

from supervisor.sandbox.site import Order, Room, Site

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CPU_PERIOD_US = 100_000
_ATTEMPTS, _PAUSE_S = 20, 0.005


class Group:
    """One job's group. Every method answers None, or does nothing, where the kernel does not offer the file."""

    def __init__(self, base_fd: int, name: str) -> None:
        self._base_fd = base_fd
        self._name = name
        os.mkdir(name, 0o755, dir_fd=base_fd)
        self._fd = os.open(name, _FOLDER, dir_fd=base_fd)

    def limit(self, memory_bytes: int | None, processes: int | None, cores: float | None) -> None:
        if memory_bytes is not None:
            self._write("memory.max", str(memory_bytes))
            self._write("memory.swap.max", "0")
            self._write("memory.oom.group", "1")
        if processes is not None:
            self._write("pids.max", str(processes))
        if cores is not None:
            self._write("cpu.max", f"{max(1000, int(cores * _CPU_PERIOD_US))} {_CPU_PERIOD_US}")

    def join(self) -> bool:
        """Moves this process, and with it all that it will start."""
        return self._write("cgroup.procs", "0")

    def kill(self) -> None:
        self._write("cgroup.kill", "1")

    def cpu_s(self) -> float:
        """Used by all that ever ran in it."""
        return self._value("cpu.stat", b"usage_usec") / 1e6

    def peak_bytes(self) -> int:
        """Page cache and kernel memory included. 0: not known."""
        content = self._read("memory.peak").strip()
        return int(content) if content.isdigit() else 0

    def out_of_memory(self) -> bool:
        """Killed for its own limit. A machine without memory, or a group above at its limit, kills here as well, but
        then nothing is counted as oom of this group."""
        return self._value("memory.events", b"oom") > 0 and self._value("memory.events", b"oom_kill") > 0

    def pids_refused(self) -> bool:
        return self._value("pids.events", b"max") > 0

    def remove(self) -> None:
        """After the last process. What cannot be removed is left to the next holder of the slot."""
        os.close(self._fd)
        _remove(self._base_fd, self._name)

    def _value(self, name: str, key: bytes) -> int:
        for line in self._read(name).splitlines():
            found, _, value = line.partition(b" ")
            if found == key and value.isdigit():
                return int(value)
        return 0

    def _read(self, name: str) -> bytes:
        return _read(self._fd, name)

    def _write(self, name: str, value: str) -> bool:
        return _write(self._fd, name, value)


def find(site: Site) -> None:
    """In the holder: opens the delegated folder, tries a group in it, removes what an earlier holder left."""
    if site.cgroup is None:
        site.cgroup_note = "no delegated cgroup v2"
        return
    try:
        site.cgroup_fd = os.open(site.cgroup, _FOLDER)
        sweep(site)
        trial = Group(site.cgroup_fd, f"{_prefix(site)}trial")
        trial.remove()
    except OSError as error:
        site.cgroup_note = f"{site.cgroup}: {error.strerror}"
        if site.cgroup_fd >= 0:
            os.close(site.cgroup_fd)
        site.cgroup_fd = -1
        return
    site.controllers = _read(site.cgroup_fd, "cgroup.subtree_control").decode().split()


def sweep(site: Site) -> None:
    """In the holder, while it has no keeper: kills and removes what has its slot's name."""
    if site.cgroup_fd < 0:
        return
    for name in os.listdir(site.cgroup_fd):
        if name.startswith(_prefix(site)):
            _write(site.cgroup_fd, f"{name}/cgroup.kill", "1")
            for _ in range(_ATTEMPTS):
                if _remove(site.cgroup_fd, name):
                    break
                time.sleep(_PAUSE_S)


def make(site: Site, room: Room) -> None:
    """In the keeper. The folder may have vanished since."""
    if site.cgroup_fd < 0:
        return
    try:
        room.group = Group(site.cgroup_fd, f"{_prefix(site)}{room.name}")
    except OSError as error:
        room.fallbacks["cgroup"] = f"not used for this job: {site.cgroup}: {error.strerror}"


def enter(site: Site, room: Room, order: Order) -> None:
    """In the job's child, while it still has the daemon's rights."""
    if room.group is not None:
        room.group.limit(order.memory_bytes, order.processes, order.cores)
        room.group.join()


def tell(site: Site) -> dict[str, str]:
    if site.cgroup_fd < 0:
        return {"cgroup": f"not used: {site.cgroup_note}"}
    missing = [name for name in ("memory", "pids", "cpu") if name not in site.controllers]
    lacking = f"; controllers that were not delegated: {', '.join(missing)}" if missing else ""
    told = {
        "cgroup": f"below {site.cgroup}{lacking}",
        "cpu": "cgroup's account of the whole tree, read every 50 ms",
        "kill_tree": "exact: cgroup.kill",
    }
    if "memory" in site.controllers:
        told["memory"] = "cgroup: memory.max of the whole tree, no swap, killed as a whole; and sampled every 50 ms"
    if "pids" in site.controllers:
        told["processes"] = "cgroup: pids.max of the whole tree, threads count; and RLIMIT_NPROC"
    return told


def tell_in_reach(site: Site) -> dict[str, str]:
    """Where the job sees the host's files, the daemon's own uid may take it out of its group."""
    told = tell(site)
    if site.cgroup_fd >= 0 and os.geteuid() == site.uid:
        told["cgroup"] += "; a job can leave its group, because it has the daemon's own uid and sees the folder"
        del told["kill_tree"]
    return told


def _prefix(site: Site) -> str:
    return f"{os.path.basename(site.folder)}."


def _remove(base_fd: int, name: str) -> bool:
    try:
        os.rmdir(name, dir_fd=base_fd)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _read(folder_fd: int, name: str) -> bytes:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder_fd)
        try:
            return os.read(fd, 65536)
        finally:
            os.close(fd)
    except OSError:
        return b""


def _write(folder_fd: int, name: str, value: str) -> bool:
    """O_CREAT as a shell would: it makes nothing in a cgroup."""
    try:
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644, dir_fd=folder_fd)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)
    except OSError:
        return False
    return True
