"""What the mechanisms work on: a holder's site, one slot's room, one job's order.

Invariant: plain values only; everything here can travel in a message.
Never: imports anything, so that the slim processes stay slim.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from supervisor.sandbox.mechanisms.cgroup import Group


class Site:
    """What is the same for every job of one holder. folder: the slot's own folder, a host path."""

    def __init__(
        self,
        level: str,
        folder: str,
        uid: int,
        gid: int,
        binds: list[tuple[str, str, bool]],
        title: str,
        cgroup: str | None,
        groups: tuple[int, ...] = (),
    ) -> None:
        self.level = level
        self.folder = folder
        self.uid = uid
        self.gid = gid
        self.binds = binds
        self.title = title
        self.cgroup = cgroup  # the delegated folder, a host path
        self.groups = groups  # supplementary ones of the operator's own code; a job has none
        self.cgroup_fd = -1
        self.cgroup_note = ""  # why there is none
        self.controllers: list[str] = []  # that groups below it have
        self.processes_beside_job = 0  # what RLIMIT_NPROC of a job counts although it is not the job's
        self.filters: dict[bool, bytes] = {}  # network allowed or not -> program of the filter of system calls
        self.late_binds: list[tuple[str, str, bool]] = []  # (stash in the template, target, is a folder)

    def packed(self) -> tuple[Any, ...]:
        return (self.level, self.folder, self.uid, self.gid, self.binds, self.title, self.cgroup, self.groups)


class Room:
    """What one slot is given (SlotClass), and what its mechanisms made of it."""

    def __init__(
        self, network: bool, disk_bytes: int | None, inodes: int | None, tmp_bytes: int, work: str, name: str
    ) -> None:
        self.network = network
        self.disk_bytes = disk_bytes
        self.inodes = inodes
        self.tmp_bytes = tmp_bytes
        self.work = work
        self.name = name  # of the work folder below the slot's folder
        self.job_dir = ""  # as the job sees it
        self.work_fd = -1  # the same folder, open
        self.tmpfs: list[str] = []  # mounts whose content counts as the job's memory
        self.segments = ""  # the list of System V shared memory, where that is the job's alone: counts as its memory
        self.ruleset_fd = -1  # of Landlock
        self.group: Group | None = None  # the job's cgroup
        self.fallbacks: dict[str, str] = {}  # aspect -> what holds for this job instead of what the holder told


class Order:
    """One job as the worker ordered it (Launch)."""

    def __init__(
        self,
        argv: list[bytes],
        env: dict[bytes, bytes],
        cwd: str | None,
        rlimits: dict[str, tuple[int, int]],
        memory_bytes: int | None,
        cpu_s: float | None,
        processes: int | None,
        cores: float | None,
        gated: bool = False,
    ) -> None:
        self.argv = argv
        self.env = env
        self.cwd = cwd
        self.rlimits = rlimits
        self.memory_bytes = memory_bytes
        self.cpu_s = cpu_s
        self.processes = processes
        self.cores = cores
        self.gated = gated  # it waits for its job behind a gate
        self.gate_fd = -1
        self.keeper_pid = 0
        self.fds: list[int] = []  # stdin, stdout, stderr and perhaps the channel
