"""A whole daemon of this code, for a moment: on an empty folder of its own, with one job of each kind in each pool.

It finds what no import shows: that broker, workers and sandbox start, lease, run, settle and stop. It shares nothing
with a daemon that runs beside it: neither folder, socket and uids nor cgroups. It dies with the process that tries.
Pools of handlers have no part: their setup is the operator's code, and may cost what only one can have.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from supervisor import log
from supervisor.arbiter import main, prctl
from supervisor.config import LogSettings, Pool, Settings
from supervisor.core.errors import SupervisorError
from supervisor.core.names import FINAL_STATES
from supervisor.paths import Paths, folders_of
from supervisor.wire.frame import MAX_ANSWER, READ_SIZE, LineBuffer

SOURCES: Final = {"node": "process.exit(0)\n", "python": "raise SystemExit(0)\n", "shell": "exit 0\n"}
"""The probe job of each type."""
PATIENCE_S: Final = 90.0
NO_INTERPRETER: Final = "spawn_error"


class Failed(SupervisorError):
    """The daemon of this code does not do what a daemon must."""


def run_trial(settings: Settings, slot_uid_base: int) -> dict[str, str]:
    """The level of isolation by pool of scripts. Takes about a second; raises SupervisorError with what is wrong."""
    folder = tempfile.mkdtemp(prefix="worker-supervisor-trial-")
    try:
        pools = {pool.name: _small(pool) for pool in settings.pools.values() if pool.handler is None}
        tried = Settings(
            state_dir=f"{folder}/state",
            socket=f"{folder}/s",
            kill_grace_s=1.0,
            shutdown_timeout_s=5.0,
            slot_uid_base=slot_uid_base,
            log=LogSettings(level="warning", format="text"),
            pools=pools or {"trial": Pool(name="trial", replicas=1)},
        )
        with _daemon(tried) as ask:
            return {pool.name: _try(ask, pool) for pool in tried.pools.values()}
    finally:
        _remove(folder)


def _remove(folder: str) -> None:
    """The folder, and what its daemon may have left elsewhere if it was killed."""
    try:
        elsewhere = folders_of(Paths(f"{folder}/state", f"{folder}/s"), as_root=os.geteuid() == 0).work_dir
    except (OSError, SupervisorError):
        elsewhere = None
    for one in (elsewhere, folder):
        if one is not None:
            shutil.rmtree(one, ignore_errors=True)


def _small(pool: Pool) -> Pool:
    """One worker, and a queue that no other pool takes from."""
    return msgspec.structs.replace(pool, replicas=1, queues=(pool.name,), prestart=0)


def _try(ask: _Asking, pool: Pool) -> str:
    """Runs a job of each type; returns the level that they had. A type without an interpreter is no obstacle."""
    jobs = {kind: ask.submit(kind, pool.name) for kind in SOURCES if kind in pool.types}
    ended = {kind: ask.ended(job) for kind, job in jobs.items()}
    for kind, job in ended.items():
        if job["state"] != "completed" and job["reason"] != NO_INTERPRETER:
            raise Failed(f"pool {pool.name}: the {kind} job of the trial ended as {job['reason']}: {job['message']}")
    levels = [job["attempts"][-1]["isolation"] for job in ended.values() if job["state"] == "completed"]
    if jobs and not levels:
        job = next(iter(ended.values()))
        raise Failed(f"pool {pool.name}: no job can be run: {job['message']}")
    return levels[0] if levels else "-"


@contextmanager
def _daemon(settings: Settings) -> Iterator[_Asking]:
    """A running daemon; stopped in order, or killed, at the end."""
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _live(settings, parent)
    pidfd = os.pidfd_open(pid)
    try:
        asking = _Asking(settings.socket, pidfd)
        yield asking
        asking.call("stop")
        if not _ends(pidfd, PATIENCE_S):
            raise Failed("the daemon of the trial does not stop")
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status != 0:
            raise Failed(f"the daemon of the trial stopped with status {status}")
    finally:
        # Harmless after its end: the descriptor names that process and no other.
        _kill(pidfd)
        os.close(pidfd)


def _live(settings: Settings, parent: int) -> None:
    """The child's whole life."""
    status = 70
    try:
        prctl.die_with_parent()
        if os.getppid() == parent:
            log.configure("trial", settings.log)
            status = main.run(settings, lambda: settings, cgroups=lambda: (None, "a trial has none"))
    except SupervisorError as error:
        print(f"trial: {error}", file=sys.stderr)
        status = error.exit_status
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def _ends(pidfd: int, within_s: float) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(within_s * 1000))


def _kill(pidfd: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _obstacle(status: dict[str, Any]) -> str | None:
    """Why its jobs will not run, or not as they should."""
    for worker in status["workers"]:
        if worker["last_exit"] is not None:
            return f"worker {worker['name']} of the trial {worker['last_exit']}"
    isolation = status["isolation"]
    if isolation["level"] == "":
        why = "; ".join(f"{level}: {reason}" for level, reason in isolation["not_available"].items())
        return f"no job can be isolated as the settings ask: {why}"
    return None


class _Asking:
    """A client of the trial's daemon."""

    def __init__(self, path: str, pidfd: int) -> None:
        self._deadline_s = time.monotonic() + PATIENCE_S
        self._pidfd = pidfd
        self._number = 0
        self._lines = LineBuffer(MAX_ANSWER)
        self._socket = self._connect(path)

    def submit(self, kind: str, queue: str) -> int:
        """Queues the probe job of a type."""
        fields = {"request_id": uuid.uuid4().hex, "type": kind, "source": SOURCES[kind], "queue": queue}
        return int(self.call("submit", **fields)["job"])

    def ended(self, job: int) -> dict[str, Any]:
        """The job, when it is final."""
        while (seen := self.call("show", job=job))["state"] not in FINAL_STATES:
            if (sentence := _obstacle(self.call("status"))) is not None:
                raise Failed(sentence)
            self._pause()
        return dict(seen)

    def call(self, op: str, **fields: object) -> Any:
        """The value of the answer."""
        self._number += 1
        try:
            self._socket.sendall(msgspec.json.encode({"op": op, "id": self._number, **fields}) + b"\n")
            return self._answer(op)
        except OSError as error:
            raise Failed(f"the daemon of the trial did not answer to {op}: {error}") from error

    def _answer(self, op: str) -> Any:
        while True:
            self._socket.settimeout(self._left_s())
            data = self._socket.recv(READ_SIZE)
            if not data:
                raise ConnectionResetError("it closed the connection")
            for line in self._lines.feed(data):
                answer = msgspec.json.decode(line)
                if answer["re"] == "error":
                    raise Failed(f"the daemon of the trial answered to {op}: {answer['message']}")
                return answer["value"]

    def _connect(self, path: str) -> socket.socket:
        while True:
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                client.connect(path)
            except OSError:
                client.close()
                self._pause()
            else:
                return client

    def _pause(self) -> None:
        if _ends(self._pidfd, 0.01):
            raise Failed("the daemon of the trial ended by itself")
        self._left_s()

    def _left_s(self) -> float:
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            raise Failed(f"the daemon of the trial was not done within {PATIENCE_S:g} s")
        return left_s
