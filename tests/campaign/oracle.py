"""What the campaign knows without asking the daemon: acknowledgements on disk, what jobs left, live processes."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Acknowledged:
    """A job that the daemon said it has."""

    job: int
    kind: str
    steps: int
    after: int | None = None


class Journal:
    """What was acknowledged, on disk before anything else happens: what is not in it, nobody may rely on."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.count = 0

    def submitted(self, known: Acknowledged) -> None:
        """A submit was acknowledged."""
        self._write({"job": known.job, "kind": known.kind, "steps": known.steps, "after": known.after})
        self.count += 1

    def cancelled(self, job: int) -> None:
        """A cancel was acknowledged."""
        self._write({"cancelled": job})

    def read(self) -> tuple[list[Acknowledged], set[int]]:
        """All that was acknowledged: the jobs, and which of them were cancelled."""
        lines = [json.loads(line) for line in self._path.read_text().splitlines()]
        jobs = [Acknowledged(**line) for line in lines if "job" in line]
        return jobs, {line["cancelled"] for line in lines if "cancelled" in line}

    def close(self) -> None:
        """No more is written."""
        os.close(self._descriptor)

    def _write(self, line: dict[str, object]) -> None:
        with self._lock:
            os.write(self._descriptor, json.dumps(line).encode() + b"\n")
            os.fsync(self._descriptor)


@dataclass
class Oracle:
    """Collects what is true outside of the daemon. Jobs at `plain` leave their marks in `marks`."""

    journal: Journal
    marks: pathlib.Path
    overlaps: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    struck: set[int] = field(default_factory=set)
    """Jobs whose own processes were killed or stopped by the campaign: they may end as they like, but once."""

    def marked(self, kind: str) -> list[str]:
        """The marks of one kind that jobs left."""
        return sorted(name for name in os.listdir(self.marks) if name.startswith(f"{kind}."))

    def look_for_overlaps(self, mark: str) -> None:
        """Two live processes of one job, of different attempts, are one too many."""
        alive: dict[int, set[int]] = {}
        for _, job, attempt in processes_of_jobs(mark):
            alive.setdefault(job, set()).add(attempt)
        self.overlaps += [f"job {job}: attempts {sorted(found)}" for job, found in alive.items() if len(found) > 1]


def processes_of_jobs(mark: str) -> Iterator[tuple[int, int, int]]:
    """The live processes of jobs of the daemon with this mark: (pid, job, attempt)."""
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
                yield int(entry), int(values[b"JOB_ID"]), int(values[b"JOB_ATTEMPT"])


@contextmanager
def oracle_in(folder: pathlib.Path) -> Iterator[Oracle]:
    """An oracle whose marks lie where jobs of any user can leave them. All of it is removed afterwards."""
    marks = pathlib.Path(f"/var/tmp/workerctl-oracle-{os.getpid()}")
    marks.mkdir()
    marks.chmod(0o777)
    journal = Journal(folder / "journal")
    try:
        yield Oracle(journal, marks)
    finally:
        journal.close()
        for name in os.listdir(marks):
            os.unlink(marks / name)
        marks.rmdir()
