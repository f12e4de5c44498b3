"""One script, one slot, from its file to its exit code: what `python -m supervisor.sandbox run` does.

Invariant: output goes through files, so that nothing is lost when the script exits abruptly.
Never: outlives its script: holder and slot are closed whatever happens.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import tempfile
import time
from typing import IO

from supervisor.sandbox.event import Ended, Event, KeeperLost, LaunchFailed, Prepared
from supervisor.sandbox.holder import Holder
from supervisor.sandbox.launch import Bind, Launch, SlotClass
from supervisor.sandbox.slot import Slot

JOB_PATH = "/usr/local/bin:/usr/bin:/bin"
_NO_STATUS = 125
_GRACE_S = 2.0
_SYSTEM = ("/usr/", "/bin/", "/lib")


class SingleRun:
    """How to run it; memory_bytes and timeout_s None: no limit."""

    def __init__(
        self, *, level: str, work_root: str, slot_uid: int | None, network: bool, memory_bytes: int | None,
        timeout_s: float | None,
    ) -> None:  # fmt: skip
        self._level = level
        self._work_root = work_root
        self._slot_uid = slot_uid
        self._slot_class = SlotClass(network=network)
        self._memory_bytes = memory_bytes
        self._timeout_s = timeout_s

    def script(self, interpreter: str, file: str, arguments: list[str]) -> tuple[int, str]:
        """Runs it: (exit code, a sentence). Raises SandboxError, OSError if the file cannot be read."""
        with open(file, "rb") as source:
            content = source.read()
        binds = [] if interpreter.startswith(_SYSTEM) else [Bind(os.path.realpath(interpreter), interpreter)]
        holder = Holder.start(self._level, work_root=self._work_root, name="run", slot_uid=self._slot_uid, binds=binds)
        try:
            slot = holder.prepare(self._slot_class)
            with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, open("/dev/null", "rb") as null:
                try:
                    prepared = self._await(slot, Prepared, None)
                    if not isinstance(prepared, Prepared):
                        return _explain(prepared)
                    name = os.path.basename(file)
                    _put(prepared.work_fd, name, content)
                    argv: list[bytes | str] = [interpreter, f"{prepared.job_dir}/{name}", *arguments]
                    slot.start(Launch(
                        argv, _environment(prepared.job_dir), null.fileno(), out.fileno(), err.fileno(),
                        memory_bytes=self._memory_bytes,
                    ))  # fmt: skip
                    last = self._until_over(slot)
                finally:
                    slot.close()
                _copy(out, sys.stdout.buffer)
                _copy(err, sys.stderr.buffer)
            return _explain(last)
        finally:
            holder.close()

    def _until_over(self, slot: Slot) -> Event | None:
        last = self._await(slot, Ended, self._timeout_s)
        if last is None:
            slot.end(kill=False)
            last = self._await(slot, Ended, _GRACE_S)
        if last is None:
            slot.end(kill=True)
            last = self._await(slot, Ended, None)
        return last

    def _await(self, slot: Slot, kind: type[Prepared] | type[Ended], timeout_s: float | None) -> Event | None:
        """The event of that kind, or a failure, or None after the time."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        poll = select.poll()
        poll.register(slot, select.POLLIN)
        while True:
            times_s = [at_s for at_s in (deadline_s, slot.give_up_at_s) if at_s is not None]
            poll.poll(max(0, int((min(times_s) - time.monotonic()) * 1000)) if times_s else None)
            for event in slot.receive():
                if isinstance(event, kind | LaunchFailed | KeeperLost):
                    return event
            if deadline_s is not None and time.monotonic() >= deadline_s:
                return None


def _put(work_fd: int, name: str, content: bytes) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=work_fd)
    os.fchmod(fd, 0o644)
    with open(fd, "wb") as file:
        file.write(content)


def _environment(job_dir: str) -> dict[str, str]:
    return {"PATH": JOB_PATH, "HOME": job_dir, "TMPDIR": job_dir, "LANG": "C.UTF-8", "JOB_DIR": job_dir}


def _copy(source: IO[bytes], goal: IO[bytes]) -> None:
    source.seek(0)
    shutil.copyfileobj(source, goal)
    goal.flush()


def _explain(last: Event | None) -> tuple[int, str]:
    if isinstance(last, LaunchFailed):
        return _NO_STATUS, f"not started: {last.step}: {last.message}"
    if isinstance(last, KeeperLost):
        return _NO_STATUS, last.reason
    if not isinstance(last, Ended):
        return _NO_STATUS, "no report"
    why = _cause(last)
    use = f"{last.wall_s:.2f} s, {last.cpu_s:.2f} s CPU, peak {last.peak_memory_bytes >> 20} MiB"
    code = os.waitstatus_to_exitcode(last.status)
    return (code if code >= 0 else 128 - code), f"{why} ({use})"


def _cause(ended: Ended) -> str:
    if ended.killed_for is not None:
        return f"killed: over its {ended.killed_for} limit"
    code = os.waitstatus_to_exitcode(ended.status)
    how = f"exit {code}" if code >= 0 else f"ended by {signal.Signals(-code).name}"
    return f"{how} after its time was over" if ended.on_request else how
