"""Measures a job's tree (memory, CPU, threads) and says when it is over a limit.

Invariant: costs at most about 2 % of a core: the interval is 50 ms, stretched by what the last sample cost, and
never above 1 s. A memory figure over the limit is confirmed by proportional shares before it counts, because
pages shared by a fork are in every process's RSS.
Never: kills.
"""

from __future__ import annotations

import os
import time

from supervisor.sandbox.tree import Reaped, Tree, read_proc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervisor.sandbox.site import Order, Room

_INTERVAL_S = 0.05
_LONGEST_INTERVAL_S = 1.0
_SHARE_OF_A_CORE = 0.02
_READINGS = 3
_NEVER_S = float("inf")
_MEMORY_LINE = b"RssAnon:"
_INODE_BYTES = 1024  # about what the kernel has for a name and an inode; so much a tmpfs counts for each
_SEGMENT_RSS_FIELD = 14  # of /proc/sysvipc/shm
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Of proc_pid_stat(5), counted behind the name; utime and cutime are each followed by their system time.
_UTIME_FIELD, _CUTIME_FIELD, _THREADS_FIELD, _START_FIELD = 11, 13, 17, 19


class Watch:
    """The running account of one job."""

    def __init__(self, tree: Tree, room: Room, order: Order) -> None:
        self._tree = tree
        self._tmpfs = room.tmpfs
        self._segments = room.segments
        self._group = room.group
        self._memory_bytes = order.memory_bytes
        self._cpu_s = order.cpu_s
        self._ended_cpu_s = 0.0
        self._seen: dict[tuple[int, bytes], int] = {}  # own ticks of each live process, by pid and start
        self._vanished_ticks = 0
        self._before_s = self._group_before_s = 0.0  # used by the program before it was given its job
        self.used_cpu_s = 0.0
        self.max_rss_bytes = 0
        self.memory_bytes = 0
        self.peak_memory_bytes = 0
        self.peak_threads = 0
        self.due_s = time.monotonic() + _INTERVAL_S

    def book(self, reaped: Reaped) -> None:
        """Adds the resources of an ended process and of all it had waited for."""
        self._ended_cpu_s += reaped.cpu_s
        self.used_cpu_s = max(self.used_cpu_s, self._ended_cpu_s)
        self.max_rss_bytes = max(self.max_rss_bytes, reaped.max_rss_bytes)

    def sample(self) -> str | None:
        """Measures; returns "memory" or "cpu" if that limit is exceeded."""
        before_s = time.process_time()
        pids = self._tree.pids()
        threads = self._measure_cpu(pids)
        memory_bytes = self._memory(pids)
        self.memory_bytes = memory_bytes
        self.peak_memory_bytes = max(self.peak_memory_bytes, memory_bytes)
        self.peak_threads = max(self.peak_threads, threads)
        cost_s = time.process_time() - before_s
        interval_s = min(max(_INTERVAL_S, cost_s / _SHARE_OF_A_CORE), _LONGEST_INTERVAL_S)
        self.due_s = time.monotonic() + interval_s
        if self._memory_bytes is not None and memory_bytes > self._memory_bytes:
            return "memory"
        if self._cpu_s is not None and self.used_cpu_s > self._cpu_s:
            return "cpu"
        return None

    def hold_to(self, memory_bytes: int | None, cpu_s: float | None) -> None:
        """From now on these limits: CPU time counts from now, and the peaks begin anew."""
        self._measure_cpu(self._tree.pids())
        self._memory_bytes = memory_bytes
        self._cpu_s = None if cpu_s is None else self.used_cpu_s + cpu_s
        self.peak_memory_bytes = self.peak_threads = 0
        self.due_s = time.monotonic()

    def begin(self, before_s: float, memory_bytes: int | None, cpu_s: float | None) -> None:
        """The job begins now, in a program that waited for it: the CPU time that it used before is not the job's."""
        self._before_s = before_s
        self._ended_cpu_s = -before_s
        self._group_before_s = self._group.cpu_s() if self._group is not None else 0.0
        self._memory_bytes, self._cpu_s = memory_bytes, cpu_s
        self.due_s = time.monotonic() + _INTERVAL_S

    def rest(self) -> None:
        """Nothing is measured until the next `hold_to` or `begin`."""
        self.due_s = _NEVER_S

    def settle(self) -> None:
        """After the last process: the kernel's own account, where there is one, is exact."""
        if self._group is not None:
            self.used_cpu_s = max(self.used_cpu_s, self._group.cpu_s() - self._group_before_s)

    def _measure_cpu(self, pids: list[int]) -> int:
        """Two accounts, and the cgroup's if there is one: the largest counts. Returns threads.

        What the kernel hands from child to parent misses the children of a parent that ignores SIGCHLD; what was seen
        live misses the time since the last sample.
        """
        ticks = threads = 0
        seen: dict[tuple[int, bytes], int] = {}
        for pid in pids:
            fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
            if fields:
                own, waited_for = (int(fields[at]) + int(fields[at + 1]) for at in (_UTIME_FIELD, _CUTIME_FIELD))
                ticks += own + waited_for
                seen[pid, fields[_START_FIELD]] = own
                threads += int(fields[_THREADS_FIELD])
        self._vanished_ticks += sum(own for who, own in self._seen.items() if who not in seen)
        self._seen = seen
        handed_on_s = self._ended_cpu_s + ticks / _TICKS_PER_S
        witnessed_s = (self._vanished_ticks + sum(seen.values())) / _TICKS_PER_S - self._before_s
        counted_s = self._group.cpu_s() - self._group_before_s if self._group is not None else 0.0
        self.used_cpu_s = max(self.used_cpu_s, handed_on_s, witnessed_s, counted_s)
        return threads

    def _memory(self, pids: list[int]) -> int:
        files_bytes = self._in_tmpfs() + self._in_segments()
        simple_bytes = sum(sum(_resident(pid)) for pid in pids) + files_bytes
        if self._memory_bytes is None or simple_bytes <= self._memory_bytes:
            return simple_bytes
        # HAZARD: shares are read one process after the other. Where some end meanwhile, those that are read later
        # count more of what they shared: before a kill the least of a few readings counts.
        least_bytes = simple_bytes
        for _ in range(_READINGS):
            least_bytes = min(least_bytes, self._proportional(self._tree.pids(), files_bytes))
            if least_bytes <= self._memory_bytes:
                break
        return least_bytes

    def _proportional(self, pids: list[int], files_bytes: int) -> int:
        """What the processes have, shared pages counted once."""
        anonymous_bytes = shared_bytes = 0
        for pid in pids:
            shares = _read(f"/proc/{pid}/smaps_rollup")
            own, common, tables = _resident(pid)
            if shares:
                own, common = _kib(shares, b"Pss_Anon:", b"Pss_Shmem:")
            anonymous_bytes += own + tables
            shared_bytes += common
        return anonymous_bytes + max(shared_bytes, files_bytes)

    def _in_tmpfs(self) -> int:
        used_bytes = 0
        for place in self._tmpfs:
            state = os.statvfs(place)
            used_bytes += (state.f_blocks - state.f_bfree) * state.f_frsize
            used_bytes += (state.f_files - state.f_ffree) * _INODE_BYTES
        return used_bytes

    def _in_segments(self) -> int:
        """Of System V shared memory, which is there whether somebody has it mapped or not."""
        if not self._segments:
            return 0
        rows = _read(self._segments).splitlines()[1:]
        return sum(int(row.split()[_SEGMENT_RSS_FIELD]) for row in rows)


def _read(path: str) -> bytes:
    try:
        return read_proc(path)
    except OSError:  # ended meanwhile, or not for us to see
        return b""


def _resident(pid: int) -> tuple[int, ...]:
    """Anonymous, shared, and in page tables."""
    status = _read(f"/proc/{pid}/status")
    if _MEMORY_LINE not in status:
        # HAZARD: a process goes on when its first thread has ended, and then only its other threads tell what it has.
        status = _of_another_thread(pid)
    return _kib(status, _MEMORY_LINE, b"RssShmem:", b"VmPTE:")


def _of_another_thread(pid: int) -> bytes:
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return b""
    statuses = (_read(f"/proc/{pid}/task/{thread}/status") for thread in threads if int(thread) != pid)
    return next((status for status in statuses if _MEMORY_LINE in status), b"")


def _kib(text: bytes, *names: bytes) -> tuple[int, ...]:
    """The values of these lines in bytes, 0 where a line is missing (a zombie has no memory)."""
    return tuple(int(text.partition(name)[2].split(b"kB", 1)[0] or 0) << 10 for name in names)
