"""The daemon that escape attempts are aimed at, and the benches from which they are made."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid

from escapes import Attempt, Row, columns_of, program_of
from sandbox_bench import HERE, PYTHON, ROOT, SLOT_UID, Bench, Job

from supervisor.sandbox import SlotClass, Started
from supervisor.sandbox.mechanisms import denied_calls, landlock, system_calls

OTHER_SLOT_UID = SLOT_UID + 1
SHM_KEY = 0x5EED0000 + os.getpid() % 0xFFFF

VICTIM = """
import ctypes, os, select, socket, sys
state, abstract, key = sys.argv[1], sys.argv[2], int(sys.argv[3])
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(4, 0, 0, 0, 0)
shared = libc.shmget(key, 4096, 0o1666)
def listen(family, address):
    server = socket.socket(family); server.bind(address); server.listen(); return server
servers = [listen(socket.AF_UNIX, state + '/control'), listen(socket.AF_UNIX, '\\0' + abstract),
           listen(socket.AF_INET, ('127.0.0.1', 0))]
udp = socket.socket(type=socket.SOCK_DGRAM); udp.bind(('127.0.0.1', 0))
datagrams = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2)]
for one, place in zip(datagrams, (state + '/datagram', os.path.dirname(state) + '/open')):
    one.bind(place); os.chmod(place, 0o777)
print(servers[2].getsockname()[1], udp.getsockname()[1], flush=True)
while True:
    ready, _, _ = select.select([*servers, udp, 0], [], [])
    if 0 in ready: break
    for one in ready:
        if one is udp: udp.sendto(b'y', udp.recvfrom(9)[1])
        else: one.accept()[0].close()
libc.shmctl(shared, 0, None)
"""


class Arena:
    """A stand-in for the daemon: non-dumpable, with a 0700 folder, sockets, shared memory; and a job next door."""

    def __init__(self) -> None:
        self.columns = columns_of(HERE, root=ROOT)
        self._benches: dict[str, Bench] = {}
        self._root = tempfile.mkdtemp(prefix="sandbox-arena-")
        os.chmod(self._root, 0o755)
        state = f"{self._root}/state"
        os.mkdir(state, 0o700)
        with open(f"{state}/queue", "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as queue:
            queue.write("secret")
        name = uuid.uuid4().hex
        self._victim = subprocess.Popen(
            [sys.executable, "-c", VICTIM, state, name, str(SHM_KEY)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"SECRET": "secret"},
        )  # fmt: skip
        assert self._victim.stdout is not None
        tcp, udp = map(int, self._victim.stdout.readline().split())
        self._sibling_bench = Bench("plain", slot_uid=OTHER_SLOT_UID)
        self._sibling = Job(self._sibling_bench, ["/bin/sh", "-c", "echo secret > mine; echo up; exec sleep 600"])
        self._sibling.until_output("up")
        sibling = next(event.pid for event in self._sibling.started().events if isinstance(event, Started))
        column = 1 if os.uname().machine == "aarch64" else 0
        known = denied_calls.FORBIDDEN | denied_calls.ABSENT_WITHOUT_IPC_NAMESPACE
        numbers = {name: pair[column] for name, pair in known.items()}
        numbers |= {"clone": denied_calls.CLONE[column], "ioprio_set": denied_calls.IOPRIO_SET[column]}
        self._target = {
            "pid": self._victim.pid, "queue": f"{state}/queue", "control": f"{state}/control",
            "datagram": f"{state}/datagram", "open": f"{self._root}/open", "abstract": name,
            "tcp": tcp, "udp": udp, "key": SHM_KEY, "sibling": f"{self._sibling.job_dir}/mine", "other": sibling, "numbers": numbers,
            "tmp": f"/tmp/{name}", "shm": f"/dev/shm/{name}", "home": f"{self._root}/{name}", "work": ".",
        }  # fmt: skip

    def __enter__(self) -> Arena:
        return self

    def __exit__(self, *_: object) -> None:
        self._sibling.slot.end(kill=True)
        self._sibling.finish()
        self._sibling.__exit__()
        for bench in (*self._benches.values(), self._sibling_bench):
            bench.close()
        self._victim.communicate("")
        shutil.rmtree(self._root)

    def measure(self, attempt: Attempt, column: str) -> Row:
        """Runs one attempt in one column."""
        level, _, network = column.partition("/")[0].partition("+")
        if level not in self._benches:
            self._benches[level] = Bench(level)
        place = str(self._target.get(attempt.effect, ""))
        result = self._benches[level].run(
            [PYTHON, "-I", "-S", "job.py", json.dumps(self._target)],
            files={"job.py": program_of(attempt)}, slot_class=SlotClass(network=bool(network)), processes=30,
        )  # fmt: skip
        assert result.code == 0, result
        possible = result.out.startswith("possible")
        if place:
            possible = os.path.exists(place)
            if possible:
                os.unlink(place)
        return Row(attempt, column, possible, result.out.strip())


def promised(attempt: Attempt, column: str) -> bool:
    """Whether this machine is such that what the table says of a column must hold."""
    if not system_calls.supported() or (attempt.needs_level and attempt.needs_level not in HERE):
        return False
    return landlock.abi() >= attempt.landlock_abi or not column.startswith("landlock")
