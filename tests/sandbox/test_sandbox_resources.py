"""Two hundred jobs cost no descriptor and no memory that stays. Prints what a job costs."""

from __future__ import annotations

import os
import resource
import select
import time

from sandbox_bench import ROOT, Bench

JOBS = 200


def open_descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def settled_descriptors(pid: int) -> int:
    """Where the holder is the keeper it closes a slot's last ones after its report."""
    select.select([], [], [], 0.1)
    return open_descriptors(pid)


def resident_kib(pid: int) -> int:
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def spent_s(pid: int) -> float:
    """CPU of a process and its reaped children, and of ourselves."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") + usage.ru_utime + usage.ru_stime


def test_descriptors_and_memory_stay_flat_over_many_jobs(bench: Bench) -> None:
    holder = bench.holder.pid
    for _ in range(5):
        bench.run(["/bin/true"])
    own, resident = open_descriptors(os.getpid()), resident_kib(holder)
    theirs = settled_descriptors(holder) if ROOT else 0
    began_s, used_s = time.perf_counter(), spent_s(holder)
    for _ in range(JOBS):
        assert bench.run(["/bin/true"]).code == 0
    wall_ms, cpu_ms = (time.perf_counter() - began_s) * 1e3 / JOBS, (spent_s(holder) - used_s) * 1e3 / JOBS
    print(f"\n{bench.level}: {wall_ms:.2f} ms wall, {cpu_ms:.2f} ms CPU per `true` job (the test's own included)")
    assert open_descriptors(os.getpid()) == own
    assert not ROOT or settled_descriptors(holder) == theirs
    assert resident_kib(holder) - resident < 1024
