"""What the campaign knows without asking the daemon: acknowledgements, markers that the jobs leave, live processes."""

from __future__ import annotations

import contextlib
import os
import pathlib
import threading
import time
from dataclasses import dataclass, field

from ctl import Client
from ctl.errors import WorkerctlError

# A plain job tells the oracle in its own folder: one marker for each attempt, made once, and a lock while it lives.
PLAIN_JOB = r"""
import fcntl, os, sys, time
oracle = sys.argv[1]
job, attempt = os.environ["JOB_ID"], os.environ["JOB_ATTEMPT"]
def tell(name):
    try: os.close(os.open(f"{oracle}/{name}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError: return False
    return True
if not tell(f"attempt.{job}.{attempt}"): tell(f"TWICE.{job}.{attempt}.{os.getpid()}")
lock = os.open(f"{oracle}/lock.{job}", os.O_CREAT | os.O_RDWR, 0o666)
try: os.fchmod(lock, 0o666)
except OSError: pass
try: fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError: tell(f"OVERLAP.{job}.{attempt}")
for i in range(int(sys.argv[2])):
    print(f"{job} {i}")
    time.sleep(0.01)
tell(f"done.{job}.{attempt}")
"""
NAMESPACE_JOB = r"""
const steps = Number(process.argv[2]);
let i = 0;
const timer = setInterval(() => {
  if (i === steps) { clearInterval(timer); process.send({type: "result", value: steps}); return; }
  console.log(`${process.env.JOB_ID} ${i++}`);
}, 5);
"""


@dataclass
class Acknowledged:
    """A job that the daemon said it has."""

    job: int
    steps: int
    plain: bool


@dataclass
class Oracle:
    """Collects what is true outside of the daemon."""

    folder: pathlib.Path
    acknowledged: list[Acknowledged] = field(default_factory=list)
    overlaps: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def marks(self, kind: str) -> list[str]:
        """The markers that jobs left, of one kind."""
        return sorted(name for name in os.listdir(self.folder) if name.startswith(f"{kind}."))

    def look_for_overlaps(self, mark: str) -> None:
        """Two live main processes of one job, of different attempts, are one too many."""
        alive: dict[str, set[str]] = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            with contextlib.suppress(OSError):
                variables = pathlib.Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
                if mark.encode() not in variables:
                    continue
                values = dict(variable.split(b"=", 1) for variable in variables if b"=" in variable)
                state = pathlib.Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[0]
                if state not in "ZX" and b"JOB_ID" in values:
                    alive.setdefault(values[b"JOB_ID"].decode(), set()).add(values[b"JOB_ATTEMPT"].decode())
        self.overlaps += [f"job {job}: attempts {sorted(found)}" for job, found in alive.items() if len(found) > 1]


class Submitter(threading.Thread):
    """Submits jobs until told to stop; remembers what was acknowledged, each with its own request id."""

    def __init__(self, socket: str, oracle: Oracle, scripts: pathlib.Path, number: int, pause_s: float) -> None:
        super().__init__(name=f"submitter-{number}")
        self._socket = socket
        self._oracle = oracle
        self._scripts = scripts
        self._number = number
        self._pause_s = pause_s
        self.stopping = threading.Event()

    def run(self) -> None:
        count = 0
        while not self.stopping.is_set():
            count += 1
            steps = 3 + (count * 7 + self._number) % 20
            plain = (count + self._number) % 2 == 0
            try:
                with Client(socket=self._socket) as client:
                    self._submit(client, steps, plain)
            except WorkerctlError as error:
                self._oracle.refused.append(f"{error.code}: {error}")
                time.sleep(0.05)  # the daemon is being restarted
            self.stopping.wait(self._pause_s)

    def _submit(self, client: Client, steps: int, plain: bool) -> None:
        if plain:
            job = client.submit(
                str(self._scripts / "plain.py"), args=[str(self._oracle.folder), str(steps)], isolation="plain"
            )
        else:
            job = client.submit(str(self._scripts / "namespace.js"), args=[str(steps)], isolation="namespace")
        self._oracle.acknowledged.append(Acknowledged(int(getattr(job, "id", job)), steps, plain))
