"""Starts real arbiters with dummy children, and asks the kernel about them. Waits for conditions, never for time."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
T = TypeVar("T")


def eventually(look: Callable[[], T], within_s: float = 10.0) -> T:
    """The first true answer of `look`; fails after `within_s` with the last one."""
    give_up_at = time.monotonic() + within_s
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < give_up_at, f"not within {within_s} s: {look} last said {seen!r}"
        time.sleep(0.01)


class Process:
    """A process by pid and start time, so that a reused pid is no mistake."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._born = self._stat()[19]

    def _stat(self) -> list[str]:
        text = Path(f"/proc/{self.pid}/stat").read_text()
        return text[text.rindex(")") + 2 :].split()

    @property
    def alive(self) -> bool:
        try:
            fields = self._stat()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return fields[19] == self._born and fields[0] not in "ZX"

    @property
    def parent(self) -> int:
        return int(self._stat()[1])

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


class Daemon:
    """One dummy daemon over a folder; `files` steer its children."""

    def __init__(self, folder: Path, workers: int = 2, **settings: str) -> None:
        self.folder = folder
        self.state_dir = folder / "state"
        self.socket = folder / "s" / "c.sock"
        self.workers = workers
        # No job ever runs here, but a daemon of the same machine may run some under the usual uids.
        usual = {"kill_grace": "0.1", "log.level": "debug", "log.format": "text", "slot_uid_base": "2900000"}
        self.settings = {**usual, **settings}
        self.process: subprocess.Popen[bytes] | None = None
        self.arbiter_pid: int | None = None
        self.log = folder / "log"

    def command(self, socket_path: Path | None = None) -> list[str]:
        sets = [word for key, value in self.settings.items() for word in ("--set", f"{key}={value}")]
        return [
            *(sys.executable, str(HERE / "dummy_daemon.py"), "--state-dir", str(self.state_dir)),
            *("--socket", str(socket_path or self.socket), "--workers", str(self.workers), *sets),
        ]

    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("WORKER_")}
        search_path = os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
        return {**kept, "DUMMY_FOLDER": str(self.folder), "HOME": str(self.folder), "PYTHONPATH": search_path}

    def start(self, prefix: tuple[str, ...] = (), ready: bool = True, **environment: str) -> Daemon:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*prefix, *self.command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**self.environment(), **environment},
                start_new_session=True,
            )
        if ready:
            eventually(lambda: f"ready socket={self.socket} pid={self.pid}\n" in self.log.read_text() or self._failed())
            eventually(lambda: len(self.living_workers()) == self.workers)
        return self

    def _failed(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        return False

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.arbiter_pid or self.process.pid

    def tell(self, file_name: str, words: str = "") -> None:
        (self.folder / file_name).write_text(words)

    def read(self, file_name: str) -> str:
        path = self.folder / file_name
        return path.read_text() if path.exists() else ""

    def children(self) -> dict[str, Process]:
        """The arbiter's children by title, without `worker-supervisor: `."""
        found = {}
        for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            try:
                title = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()
                found[title.removeprefix("worker-supervisor: ")] = Process(int(pid))
            except (FileNotFoundError, ProcessLookupError):
                continue
        return found

    def living_workers(self) -> dict[str, Process]:
        """Those whose main has begun and installed its handler."""
        return {
            title: process
            for title, process in self.children().items()
            if title.startswith("worker ") and (self.folder / f"{title[7:].replace('/', '-')}.terms").exists()
        }

    def zombies(self) -> list[str]:
        pids = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        stats = []
        for pid in pids:
            with contextlib.suppress(OSError):  # reaped since
                stats.append(Path(f"/proc/{pid}/stat").read_text())
        return [stat for stat in stats if stat[stat.rindex(")") + 2] == "Z"]

    def heard(self, say: str) -> list[dict[str, Any]]:
        """What all brokers were told, in order; each with the `broker` (pid) that heard it."""
        messages = []
        for line in self.read("broker.heard").splitlines():
            pid, _, text = line.partition(" ")
            messages.append({**json.loads(text), "broker": int(pid)})
        return [message for message in messages if message["say"] == say]

    def does(self, operation: str, **fields: Any) -> dict[str, Any]:
        """What the arbiter answers to a broker that asks for `operation`."""
        number = len(self.heard("done")) + 1
        self.ask(f"say {json.dumps({'say': operation, 'request': number, **fields})}\n".encode())
        return eventually(lambda: [done for done in self.heard("done") if done["request"] == number])[0]

    def members(self) -> dict[str, dict[str, Any]]:
        """The newest fleet, by worker."""
        return {member["worker"]: member for member in self.heard("fleet")[-1]["members"]}

    def ask(self, words: bytes = b"who\n") -> int:
        """The pid of the broker that answers."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(10)
            client.connect(str(self.socket))
            client.sendall(words)
            return int(client.recv(100))

    def refused(self, socket_path: Path | None = None) -> subprocess.CompletedProcess[str]:
        """A start that is expected to end by itself."""
        command = self.command(socket_path)
        return subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=False, timeout=30)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, within_s: float = 20.0) -> int:
        assert self.process is not None
        return self.process.wait(within_s)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()

    def clean_up(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        try:
            instance = (self.state_dir / "instance").read_text().strip()
        except FileNotFoundError:
            return
        shutil.rmtree(f"/var/tmp/worker-supervisor-{instance}", ignore_errors=True)


@contextmanager
def daemon_in(folder: Path, **options: Any) -> Iterator[Daemon]:
    daemon = Daemon(folder, **options)
    try:
        yield daemon
    finally:
        daemon.clean_up()
