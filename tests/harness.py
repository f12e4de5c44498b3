"""A real daemon for tests: started as a user would, watched from outside, gone without a trace at the end."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from ctl import Client

CLEAN_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/"}
ROOT = pathlib.Path(__file__).resolve().parent.parent


def wait_until(what: Callable[[], Any], within_s: float = 10.0, saying: str = "the condition") -> Any:
    """The first true value of `what()`; fails the test if there is none in time."""
    deadline = time.monotonic() + within_s
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{saying} did not come true within {within_s} s")
        time.sleep(0.01)  # the one place where tests pass time: between two looks


def processes_marked(mark: str) -> dict[int, str]:
    """The live processes whose environment holds `mark`, with their command lines."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            environment = pathlib.Path(f"/proc/{entry}/environ").read_bytes()
            if mark.encode() in environment:
                command = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                found[int(entry)] = command
    return found


def children_of(pid: int) -> list[int]:
    """The child processes of `pid`."""
    try:
        return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def title_of(pid: int) -> str:
    """What `ps` shows of `pid`."""
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode()
    except OSError:
        return ""


def tree_of(pid: int) -> dict[int, str]:
    """`pid` and all its descendants, with their titles."""
    found = {pid: title_of(pid)}
    for child in children_of(pid):
        found |= tree_of(child)
    return found


def waits_for_a_job(title: str) -> bool:
    """Whether what `ps` shows is a pre-started interpreter that has no job yet."""
    return "/node.cjs" in title or "/spare-spare-" in title


def alive(pid: int) -> bool:
    """Whether `pid` exists and is no zombie."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _own_uids() -> int:
    """A range of slot uids for one daemon: two daemons of root may not share one."""
    return 3_000_000 + 64 * (os.getpid() % 4_000_000 * 16 + next(_COUNT) % 16)


_COUNT = itertools.count()


def _short(folder: pathlib.Path) -> pathlib.Path:
    """Where its sockets lie: `folder`, or where that is too long a path for one, a folder with a short name."""
    if len(os.fsencode(folder / "http.sock")) <= 107:
        return folder
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    made = pathlib.Path(tempfile.gettempdir()) / f"wd-{name}"
    made.mkdir(mode=0o700, exist_ok=True)
    return made


class Daemon:
    """A supervisor on a folder of its own. Every process that descends from it carries `mark` in its environment."""

    def __init__(self, folder: pathlib.Path, settings: str = "", workers: int = 2, env: dict[str, str] | None = None):
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state = folder / "state"
        self.socket = f"{_short(folder)}/s"
        self.log = folder / "log"
        self.settings = folder / "config.toml"
        self.settings.write_text(settings)
        self.settings.chmod(0o600)
        self.workers = workers
        self.mark = f"WORKER_CAMPAIGN_MARK={folder}"
        self.environment = {
            **CLEAN_ENVIRONMENT,
            "WORKER_SLOT_UID_BASE": str(_own_uids()),
            **(env or {}),
            "WORKER_CAMPAIGN_MARK": str(folder),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True, arguments: tuple[str, ...] = ()) -> Daemon:
        """Starts it; waits for its word that it is ready."""
        before = self.ready_lines()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "supervisor",
                    "--config",
                    str(self.settings),
                    "--state-dir",
                    str(self.state),
                    "--socket",
                    self.socket,
                    "--workers",
                    str(self.workers),
                    *arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=self.environment,
            )
        if wait:
            wait_until(lambda: self.ready_lines() > before or self.ended(), 30, "the daemon's `ready`")
            assert not self.ended(), self.words()
        return self

    def ready_lines(self) -> int:
        """How often it said `ready`."""
        return self.words().count("\nready ") + self.words().startswith("ready ") if self.log.exists() else 0

    def ended(self) -> bool:
        """Whether the arbiter has exited."""
        return self.process is not None and self.process.poll() is not None

    def words(self) -> str:
        """Its log so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    @property
    def pid(self) -> int:
        """The arbiter's pid."""
        assert self.process is not None
        return self.process.pid

    def pid_of(self, title: str) -> int:
        """The process of the tree whose title contains `title`."""
        found = [pid for pid, name in tree_of(self.pid).items() if title in name]
        assert found, f"no {title!r} in {tree_of(self.pid)}"
        return found[0]

    def client(self) -> Client:
        """A connection of its own."""
        return Client(socket=self.socket)

    def ctl(self, *arguments: str, stdin: bytes | None = None, check: bool = False, timeout_s: float = 60) -> Any:
        """`workerctl ARGUMENTS` against it."""
        return subprocess.run(
            [sys.executable, "-m", "ctl.main", "--socket", self.socket, *arguments],
            input=stdin if stdin is not None else b"",
            capture_output=True,
            cwd=ROOT,
            env=self.environment,
            check=check,
            timeout=timeout_s,
        )

    def ask(self, *arguments: str) -> Any:
        """The JSON that `workerctl ARGUMENTS --json` prints."""
        done = self.ctl(*arguments, "--json")
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    def stop(self, within_s: float = 30) -> int:
        """Asks it to end, and waits for its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within_s)

    def kill(self) -> None:
        """SIGKILL of the arbiter alone; waits until all that was its own is gone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        wait_until(lambda: not self.survivors(), 10, "the end of the killed daemon's processes")

    def survivors(self) -> dict[int, str]:
        """What is alive of it, jobs included."""
        mine = processes_marked(self.mark)
        instance = self.state / "instance"
        if instance.exists():
            mine |= processes_marked(f"WORKER_SUPERVISOR_MARK={instance.read_text().strip()}")
        found = {pid: name for pid, name in mine.items() if alive(pid)}
        if os.geteuid() != 0 and self.ended() and self.lock_is_held():
            found[0] = "somebody who holds the lock"  # an ordinary user cannot look into the daemon's own processes
        return found

    def lock_is_held(self) -> bool:
        """Whether anything of the daemon is alive: each of its processes has the lock."""
        try:
            descriptor = os.open(self.state / "lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def clean(self) -> None:
        """Ends what is left and removes what it left outside its folder."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not self.survivors(), 5)
        if os.path.dirname(self.socket) != str(self.folder):
            shutil.rmtree(os.path.dirname(self.socket), ignore_errors=True)
        instance = self.state / "instance"
        if instance.exists():
            shutil.rmtree(f"/var/tmp/worker-supervisor-{instance.read_text().strip()}", ignore_errors=True)


@contextlib.contextmanager
def running_daemon(folder: pathlib.Path, settings: str = "", workers: int = 2) -> Iterator[Daemon]:
    """A daemon that runs, and after which nothing is left."""
    daemon = Daemon(folder, settings, workers)
    try:
        daemon.start()
        yield daemon
        if not daemon.ended():
            assert daemon.stop() == 0
        wait_until(lambda: not daemon.survivors(), 5, f"nothing left of the daemon ({daemon.survivors()})")
    except BaseException:
        print("---- the daemon's log\n" + daemon.words())
        raise
    finally:
        daemon.clean()
