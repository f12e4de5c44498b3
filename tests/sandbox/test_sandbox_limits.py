"""Limits hold for the whole tree, and only the keeper's own kill counts as one."""

from __future__ import annotations

import os

import pytest
from sandbox_bench import JOB_UID, Bench, jobs_of

from supervisor.sandbox import SlotClass

MIB = 1 << 20


def test_memory_of_buffers_is_limited_and_named(bench: Bench) -> None:
    source = """
const kept = [];
for (let i = 0; i < 32; i++) kept.push(Buffer.alloc(16 << 20, 1));
setInterval(() => {}, 1e6);
"""
    result = bench.node(source, memory_bytes=128 * MIB)
    assert result.code == -9
    assert result.ended.killed_for == "memory"
    assert 128 * MIB < result.ended.peak_memory_bytes < 700 * MIB
    assert not result.ended.on_request


def test_memory_of_children_is_added_up(bench: Bench) -> None:
    source = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        hoard = bytearray(os.urandom(1 << 20) * 40); time.sleep(60)
time.sleep(60)
"""
    result = bench.python(source, memory_bytes=100 * MIB)
    assert (result.code, result.ended.killed_for) == (-9, "memory")


def test_pages_that_a_fork_shares_are_counted_once(bench: Bench) -> None:
    source = """
import os, time
hoard = bytearray(120 << 20)
hoard[::4096] = bytes([1]) * (len(hoard) // 4096)
children = []
for _ in range(6):
    child = os.fork()
    if child == 0:
        time.sleep(0.5); os._exit(0)
    children.append(child)
for child in children: os.waitpid(child, 0)
"""
    result = bench.python(source, memory_bytes=256 * MIB)
    assert (result.code, result.ended.killed_for) == (0, None), result.ended
    # Below the limit the plain sum is taken, where a young fork may count twice; above it, shares are, and those that
    # are read while the children end may come out too small.
    assert 64 * MIB < result.ended.peak_memory_bytes <= 256 * MIB


def test_files_in_memory_count_as_memory(private_bench: Bench) -> None:
    result = private_bench.shell("head -c 60M /dev/zero > big; sleep 60", memory_bytes=40 * MIB)
    assert result.ended.killed_for == "memory"


LIBC = """
import ctypes, os, threading, time
libc = ctypes.CDLL(None)
libc.mmap.restype = libc.shmat.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.shmat.argtypes, libc.shmdt.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int], [ctypes.c_void_p]
"""


def test_memory_of_a_process_whose_first_thread_has_ended_is_counted(bench: Bench) -> None:
    source = (
        LIBC
        + """
def hoard():
    time.sleep(0.2)
    kept = [b'x' * (20 << 20) for _ in range(6)]
    time.sleep(60)
threading.Thread(target=hoard).start()
libc.syscall(93 if os.uname().machine == 'aarch64' else 60, 0)  # exit(2) of this thread
"""
    )
    result = bench.python(source, memory_bytes=80 * MIB)
    assert (result.code, result.ended.killed_for) == (-9, "memory")


def test_page_tables_count_as_memory(bench: Bench) -> None:
    source = (
        LIBC
        + """
pages, step = 40 << 8, 2 << 20  # each page of them maps 2 MiB, and what is only read is the one page of zeros
place = libc.mmap(None, pages * step, 1, 0x4022, -1, 0)
for number in range(pages): ctypes.c_char.from_address(place + number * step).value
time.sleep(60)
"""
    )
    result = bench.python(source, memory_bytes=40 * MIB)
    assert (result.code, result.ended.killed_for) == (-9, "memory")


def test_shared_memory_that_nobody_has_attached_counts_as_memory(private_bench: Bench) -> None:
    source = (
        LIBC
        + """
for _ in range(6):
    place = libc.shmat(libc.shmget(0, 20 << 20, 0o1600), None, 0)
    ctypes.memset(place, 1, 20 << 20)
    libc.shmdt(place)
time.sleep(60)
"""
    )
    result = private_bench.python(source, memory_bytes=60 * MIB)
    assert (result.code, result.ended.killed_for) == (-9, "memory")
    before = "print(len(open('/proc/sysvipc/shm').readlines()))"
    assert private_bench.python(before).out == "1\n", "the next job finds nothing of it"


def test_empty_files_in_memory_count_as_memory(private_bench: Bench) -> None:
    source = "for number in range(60000): open(f'/tmp/{number}', 'w').close()\nimport time; time.sleep(60)"
    result = private_bench.python(source, memory_bytes=40 * MIB)
    assert (result.code, result.ended.killed_for) == (-9, "memory")


def test_an_endless_loop_ends_at_its_cpu_limit(bench: Bench) -> None:
    result = bench.node("for (;;);", cpu_s=1)
    assert (result.code, result.ended.killed_for) == (-9, "cpu")
    assert 0.9 < result.ended.cpu_s < 2


def test_cpu_of_three_children_is_added_up(bench: Bench) -> None:
    loop = "while :; do :; done"
    result = bench.shell(f"({loop})& ({loop})& ({loop})& wait", cpu_s=1)
    assert (result.code, result.ended.killed_for) == (-9, "cpu")
    assert result.ended.cpu_s < 3
    assert result.ended.peak_processes >= 4


def test_cpu_of_generations_that_orphan_themselves_is_added_up(bench: Bench) -> None:
    source = """
import os, time
if os.fork():
    while True: time.sleep(1)
for _ in range(100):
    end = time.process_time() + 0.2
    while time.process_time() < end: pass
    if os.fork(): os._exit(0)
"""
    result = bench.python(source, cpu_s=1)
    assert result.ended.killed_for == "cpu"
    assert result.ended.cpu_s < 3


def test_cpu_of_children_that_nobody_waits_for_is_added_up(bench: Bench) -> None:
    source = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(100):
    if os.fork() == 0:
        end = time.process_time() + 0.3
        while time.process_time() < end: pass
        os._exit(0)
    try: os.wait()
    except ChildProcessError: pass
"""
    result = bench.python(source, cpu_s=1)
    assert result.ended.killed_for == "cpu"
    assert result.ended.cpu_s < 3


def test_a_fork_bomb_is_contained_and_gone(bench: Bench) -> None:
    with bench.open_job(["/bin/sh", "-c", "b() { b | b & }; b; echo up; exec sleep 60"], processes=48, cpu_s=30) as job:
        job.until_output("up")
        job.slot.end(kill=True)
        result = job.finish()
    assert result.ended.on_request
    assert not result.ended.stuck
    assert not jobs_of(bench)


def test_the_process_limit_is_the_jobs_own(bench: Bench) -> None:
    source = """
import os, time
made = 0
try:
    while made < 600:
        if os.fork() == 0: time.sleep(60)
        made += 1
except OSError as error:
    print(error.errno, made)
"""
    result = bench.python(source, processes=20)
    assert result.code == 0
    number, made = map(int, result.out.split())
    assert number == 11
    if bench.private or os.geteuid() == 0:  # else the uid is shared: what others end meanwhile, the job may make
        assert 18 <= made <= 20


def test_the_disk_is_full_at_its_cap(private_bench: Bench) -> None:
    slot_class = SlotClass(disk_bytes=8 * MIB, inodes=50, tmp_bytes=4 * MIB)
    source = """
import errno, os
def fill(path):
    try:
        with open(path, 'wb') as file:
            for _ in range(64): file.write(bytes(1 << 20)); file.flush()
    except OSError as error: return errno.errorcode[error.errno]
print(fill('big'), fill('/tmp/big'), fill('/dev/shm/big'))
os.unlink('big')
try:
    for number in range(100): open(str(number), 'w').close()
except OSError as error: print(errno.errorcode[error.errno], number < 50)
"""
    result = private_bench.python(source, slot_class=slot_class)
    assert result.out == "ENOSPC ENOSPC ENOSPC\nENOSPC True\n", result


def test_kernel_limits_are_in_force_and_a_hard_limit_is_never_raised(bench: Bench) -> None:
    source = "import resource as r; print(r.getrlimit(r.RLIMIT_NOFILE), r.getrlimit(r.RLIMIT_CORE)[0])"
    limits = {"NOFILE": (64, 128), "CORE": (0, 0), "NPROC": (50, 10**9)}
    assert bench.python(source, rlimits=limits).out == "(64, 128) 0\n"


def test_a_file_size_limit_is_the_kernels_and_no_kill_of_ours(bench: Bench) -> None:
    result = bench.shell("exec head -c 2M /dev/zero > big", rlimits={"FSIZE": (1 << 20, 1 << 20)})
    assert result.code == -25  # SIGXFSZ, which Python would have left ignored
    assert result.ended.killed_for is None


@pytest.mark.parametrize("work", ["tmpfs", "disk"])
def test_the_job_owns_its_folder_in_memory_and_on_disk(bench: Bench, work: str) -> None:
    result = bench.shell("stat -c '%u %a' . && touch x && ls -A", slot_class=SlotClass(work=work))
    assert result.out == f"{JOB_UID} 700\nx\n"
