"""The filter of system calls: its numbers, its program, and that real programs do not notice it."""

from __future__ import annotations

import errno
import os
import re
import struct
import sys
from pathlib import Path

import pytest
from sandbox_bench import HERE, Bench, bind_of, nodes

from supervisor.sandbox import LEVELS
from supervisor.sandbox.mechanisms import denied_calls as calls
from supervisor.sandbox.mechanisms import system_calls

FILTERED = [
    level for level, rows in LEVELS.items() if level in HERE and any("calls_denied" in row.name for row in rows)
]
HEADERS = ["/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm-generic/unistd.h"]
NAMED = {"clone": calls.CLONE, "socket": calls.SOCKET, "socketpair": calls.SOCKETPAIR, "ioctl": calls.IOCTL,
         "fallocate": calls.FALLOCATE, "setpriority": calls.SETPRIORITY,
         "ioprio_set": calls.IOPRIO_SET, **calls.FORBIDDEN, **calls.ABSENT, **calls.ABSENT_WITHOUT_IPC_NAMESPACE,
         **calls.ABOUT_A_PROCESS}  # fmt: skip
ALLOW, KILL = 0x7FFF0000, 0x80000000
REFUSED = {name: 0x50000 | number for number, name in errno.errorcode.items()}
INSIDE, ALONE = {"internet": True, "unix": True}, {"internet": False, "unix": False}


def verdict(machine: str, number: int, *arguments: int, alone: bool = False, arch: int | None = None) -> int:
    """What the program says of a call: a small machine for classic BPF."""
    families = system_calls._families(**(ALONE if alone else INSIDE))
    program = system_calls.program_for(machine, families, ipc=not alone)
    arch = system_calls._MACHINES[machine][1] if arch is None else arch
    data = struct.pack("=IIQ6Q", number, arch, 0, *arguments, *[0] * (6 - len(arguments)))
    code = list(struct.iter_unpack("=HBBI", program))
    at = accumulator = 0
    while True:
        operation, yes, no, value = code[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif operation == 0x06:
            return int(value)
        else:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}
            at += yes if holds[operation] else no


@pytest.mark.parametrize("column", [0, 1])
def test_the_numbers_are_those_of_the_kernels_headers(column: int) -> None:
    if not os.path.exists(HEADERS[column]):
        pytest.skip(f"{HEADERS[column]} is not here")
    text = Path(HEADERS[column]).read_text()
    known = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+)\s+(\d+)", text)}
    # Newer than the headers, and absent from all: obsolete calls without a number of their own.
    compared = {name: pair[column] for name, pair in NAMED.items() if name in known}
    assert {name: known[name] for name in compared} == compared
    assert len(compared) > 75
    assert all(pair[column] == calls.NONE or pair[column] > 400 for name, pair in NAMED.items() if name not in known)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_program_says_what_the_table_says(machine: str) -> None:
    column = system_calls._MACHINES[machine][0]
    forbidden = {pair[column] for pair in calls.FORBIDDEN.values()} - {calls.NONE}
    absent = {pair[column] for pair in calls.ABSENT.values()}
    special = {calls.SOCKET[column]}
    for number in range(500):
        for alone in (False, True):
            kernels = {pair[column] for pair in calls.ABSENT_WITHOUT_IPC_NAMESPACE.values()} if alone else set()
            expected = ALLOW
            if number in forbidden:
                expected = REFUSED["EPERM"]
            elif number in absent | kernels:
                expected = REFUSED["ENOSYS"]
            if number not in special and number != calls.IOPRIO_SET[column]:
                assert verdict(machine, number, alone=alone) == expected, number
    assert verdict(machine, 0, arch=0x40000003) == KILL


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_arguments_decide_where_they_must(machine: str) -> None:
    column = system_calls._MACHINES[machine][0]
    for namespace in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert verdict(machine, calls.CLONE[column], namespace | 17) == REFUSED["EPERM"]
    assert verdict(machine, calls.CLONE[column], 0x3D0F00) == ALLOW, "a thread"
    for pair in calls.ABOUT_A_PROCESS.values():
        assert verdict(machine, pair[column], 0) == ALLOW
        assert verdict(machine, pair[column], 1) == REFUSED["EPERM"]
        assert verdict(machine, pair[column], 0xFFFFFFFF00000000) == ALLOW, "the kernel looks at the low word"
    for what, one, two in ((calls.SETPRIORITY, 0, 2), (calls.IOPRIO_SET, 1, 3)):
        assert verdict(machine, what[column], one, 0) == ALLOW
        assert verdict(machine, what[column], one, 1) == REFUSED["EPERM"]
        assert verdict(machine, what[column], two, 0) == REFUSED["EPERM"]
    assert verdict(machine, calls.FCNTL[column], 1, 1024) == REFUSED["EPERM"]
    assert verdict(machine, calls.FCNTL[column], 1, 1030) == ALLOW
    for mode, answer in ((0, ALLOW), (1, REFUSED["ENOTSUP"]), (3, ALLOW), (0x11, REFUSED["ENOTSUP"])):
        assert verdict(machine, calls.FALLOCATE[column], 1, mode) == answer
    for request in (0x40305828, 0x4030582A, 0x40305839):
        assert verdict(machine, calls.IOCTL[column], 1, request) == REFUSED["ENOTSUP"]
    assert verdict(machine, calls.IOCTL[column], 1, 0x5401) == ALLOW, "is it a terminal?"
    for kind in (1, 2, 3, 5):
        of_datagrams = kind in (2, 3)
        for flags in (0, 0o2004000):
            assert verdict(machine, calls.SOCKETPAIR[column], 1, kind | flags) == ALLOW
            alone_answer = REFUSED["EACCES"] if of_datagrams else ALLOW
            assert verdict(machine, calls.SOCKETPAIR[column], 1, kind | flags, alone=True) == alone_answer
    inside = {1: ALLOW, 2: ALLOW, 10: ALLOW, 16: ALLOW, 38: REFUSED["EAFNOSUPPORT"], 40: REFUSED["EAFNOSUPPORT"]}
    alone = inside | {1: REFUSED["EACCES"], 2: REFUSED["ENETUNREACH"], 10: REFUSED["ENETUNREACH"]}
    for family in inside:
        assert verdict(machine, calls.SOCKET[column], family) == inside[family]
        assert verdict(machine, calls.SOCKET[column], family, alone=True) == alone[family]


def test_a_call_of_x32_is_absent_and_one_of_another_abi_kills(level: str) -> None:
    assert verdict("x86_64", 0x40000000 | 39) == REFUSED["ENOSYS"]
    if level not in FILTERED or os.uname().machine != "x86_64":
        return
    getpid_of_i386 = "b814000000cd80c3"  # mov eax, 20; int 0x80; ret
    source = f"""
import ctypes, mmap
place = mmap.mmap(-1, 4096, prot=7); place.write(bytes.fromhex("{getpid_of_i386}"))
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(place)))()
"""
    bench = Bench(level)
    try:
        assert bench.python(source).code == -31  # SIGSYS
    finally:
        bench.close()


def test_a_machine_without_a_table_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_calls, "_MACHINES", {})
    assert system_calls.tell(None)["system_calls"].startswith("not enforced")  # type: ignore[arg-type]


def seccomp_in(status: str) -> str:
    return status.partition("\nSeccomp:\t")[2][:1]


@pytest.mark.parametrize("level", FILTERED)
def test_the_filter_is_on(level: str) -> None:
    bench = Bench(level)
    try:
        assert bench.shell("grep Seccomp: /proc/self/status").out == "Seccomp:\t2\n"
        status = Path(f"/proc/{bench.holder.pid}/status").read_text()
        assert seccomp_in(status) == seccomp_in(Path("/proc/self/status").read_text()), "the holder's would add up"
    finally:
        bench.close()


NODE_PROGRAM = r"""
const cp = require('child_process'), fs = require('fs'), http = require('http'), os = require('os');
const crypto = require('crypto'), { Worker } = require('worker_threads');
const once = (emitter, name) => new Promise(done => emitter.once(name, done));
if (process.argv[2] === 'child') {
  process.on('message', m => { process.send({ back: m }); process.disconnect(); });
} else (async () => {
  const told = [String(cp.execSync('echo a | tr a b')).trim()];
  const cat = cp.spawn('cat'); cat.stdin.end('piped'); told.push(String(await once(cat.stdout, 'data')));
  const child = cp.fork(__filename, ['child']); child.send('ipc'); told.push((await once(child, 'message')).back);
  const worker = new Worker("require('worker_threads').parentPort.postMessage(42)", { eval: true });
  told.push(await once(worker, 'message'));
  fs.writeFileSync('f', 'x'); await fs.promises.appendFile('f', 'y'); told.push(fs.readFileSync('f', 'utf8'));
  fs.mkdtempSync(os.tmpdir() + '/t-'); fs.writeFileSync('/dev/stderr', '');
  told.push(crypto.createHash('sha256').update('x').digest('hex').slice(0, 4));
  crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
  new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]));
  os.networkInterfaces(); os.setPriority(0, 5); told.push(process.memoryUsage().rss > 0, os.cpus().length > 0);
  if (process.argv[2] === 'loopback') {
    const server = http.createServer((_, answer) => answer.end('hello')); server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    told.push(await (await fetch(`http://127.0.0.1:${server.address().port}/`)).text());
    server.close(); server.closeAllConnections();
  }
  console.log(told.join(' '));
})();
"""

PYTHON_PROGRAM = """
import asyncio, multiprocessing, os, resource, subprocess, sys, tempfile
from multiprocessing import shared_memory
def child(queue): queue.put("queued")
async def talk():
    process = await asyncio.create_subprocess_exec("echo", "async", stdout=subprocess.PIPE)
    print((await process.communicate())[0].decode().strip(), await asyncio.to_thread(lambda: "thread"))
    if "loopback" in sys.argv:
        server = await asyncio.start_server(lambda r, w: (w.write(b"hello"), w.close()), "127.0.0.1", 0)
        reader, _ = await asyncio.open_connection(*server.sockets[0].getsockname())
        print((await reader.read()).decode())
if __name__ == "__main__":
    print(subprocess.run("echo a | tr a b", shell=True, capture_output=True, text=True).stdout.strip())
    if "semaphores" in sys.argv:
        queue = multiprocessing.Queue(); other = multiprocessing.Process(target=child, args=(queue,)); other.start()
        print(queue.get(timeout=10)); other.join()
        with multiprocessing.Pool(2) as pool: print(pool.map(abs, [-1, -2]))
        memory = shared_memory.SharedMemory(create=True, size=100); memory.buf[0] = 1; memory.close(); memory.unlink()
    asyncio.run(talk())
    tempfile.TemporaryFile().write(b"x")
    os.sched_setaffinity(0, os.sched_getaffinity(0)); os.setpriority(os.PRIO_PROCESS, 0, 3)
    resource.prlimit(0, resource.RLIMIT_CORE, (0, 0)); open("/dev/stderr", "w").close()
"""

SHELL_PROGRAM = """set -e
seq 1 1000 | sort -n | awk '{s+=$1} END {print s}' | tee sum; (sleep 0.01 & wait); echo $(echo `echo sub`)
mkfifo pipe; echo fifo > pipe & cat pipe; cat <<END
here
END
nice true; timeout 1 true; printf 'a\\nb\\n' | xargs -n1 echo; tar cf t.tar sum; tar tf t.tar; : > /dev/stderr
"""


@pytest.mark.parametrize("node", nodes())
def test_node_does_not_notice(level: str, node: str) -> None:
    bench = Bench(level, binds=bind_of(node))
    try:
        words = ["loopback"] if bench.loopback else []
        result = bench.run([node, "job.js", *words], files={"job.js": NODE_PROGRAM})
        expected = ["b", "piped", "ipc", "42", "xy", "2d71", "true", "true", *(["hello"] if words else [])]
        assert result.out.split() == expected, result
    finally:
        bench.close()


def test_python_does_not_notice(bench: Bench) -> None:
    # Python's semaphores are files in /dev/shm: where that is not the job's own, it has none.
    semaphores = "no /dev/shm" not in bench.holder.enforced["files"]
    words = ["semaphores"] * semaphores + ["loopback"] * bench.loopback
    result = bench.python(PYTHON_PROGRAM, *words)
    expected = ["b", *["queued", "[1, 2]"] * semaphores, "async thread", *["hello"] * bench.loopback]
    assert result.out.splitlines() == expected, result


def test_the_shell_does_not_notice(bench: Bench) -> None:
    result = bench.shell(SHELL_PROGRAM)
    assert result.out.split() == ["500500", "sub", "fifo", "here", "a", "b", "sum"], result


assert sys.byteorder == "little", "the small machine above reads as the filter's machines do"


@pytest.mark.parametrize("level", FILTERED)
def test_a_job_reserves_nothing_behind_the_end_of_its_output(level: str) -> None:
    source = """
import ctypes, errno, fcntl, os
libc = ctypes.CDLL(None, use_errno=True)
def reserve(mode): return libc.fallocate(1, mode, ctypes.c_long(0), ctypes.c_long(64 << 20)) and ctypes.get_errno()
answers = [reserve(1), reserve(0x11)]
try: fcntl.ioctl(1, 0x40305828, bytes(48))
except OSError as error: answers.append(error.errno)
print(*answers, os.fstat(1).st_blocks < 100)
"""
    bench = Bench(level)
    try:
        assert bench.python(source).out == "95 95 95 True\n"
    finally:
        bench.close()
