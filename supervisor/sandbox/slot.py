"""The worker's handle of one slot: one room, one job, one keeper.

Invariant: events come in order, with exactly one last one; KeeperLost(gone=True) only after the kernel proved
that keeper and tree are gone.
Never: blocks in receive(), start() and end(); close() is bounded.
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import os
import select
import time
from collections.abc import Callable
from typing import Any

from supervisor.sandbox import folder, late_limits, message, syscalls
from supervisor.sandbox.event import (
    Ended,
    Event,
    Gated,
    KeeperLost,
    LaunchFailed,
    NotBegun,
    Prepared,
    Started,
    Use,
    Waiting,
)
from supervisor.sandbox.launch import Launch
from supervisor.sandbox.orphan import OrphanSweep

_GIVE_UP_S = 6.0


class Slot:
    """Made by Holder.prepare(); the descriptors are its own. Readable (fileno) when receive() has something to say."""

    def __init__(
        self, control: _socket.socket, holder_pidfd: int, folder_fd: int, name: str, known_children: set[int]
    ) -> None:
        self._control = control
        self._folder_fd = folder_fd
        self._name = name
        self._sweep = OrphanSweep(known_children)
        self._holder_pidfd = holder_pidfd
        self._keeper_pidfd: int | None = None
        self.keeper_pid: int | None = None  # None where the holder itself is the keeper
        self._program_pidfd: int | None = None
        self._processes_beside_job = 0
        self._work_fd: int | None = None
        self._said: list[Event] = []
        self.use: Use | None = None  # of a job that runs for a second and longer
        self._fault: tuple[str, bool] | None = None
        self._silent_since_s: float | None = None
        self._started = False
        self._over = False
        self._closed = False
        # One descriptor for a selector, whatever is being waited for: first the socket, after its end a pidfd.
        self._readiness = select.epoll()
        self._readiness.register(control, select.EPOLLIN)

    def fileno(self) -> int:
        return self._readiness.fileno()

    @property
    def give_up_at_s(self) -> float | None:
        """When receive() is wanted although nothing is readable (monotonic): what cannot be proved gone makes no noise."""
        return None if self._silent_since_s is None or self._over else self._silent_since_s + _GIVE_UP_S

    def receive(self) -> list[Event]:
        """What happened since the last call, in order. Does not block."""
        while self._silent_since_s is None and self._hear():
            pass
        if self._silent_since_s is not None and not self._over:
            self._settle_loss(self._silent_since_s)
        events, self._said = self._said, []
        return events

    def start(self, launch: Launch, *, gated: bool = False) -> None:
        """After Prepared: starts the job. What goes wrong is reported by receive().

        gated: starts a program that finds the end of a gate at GATE_FD, and that the keeper measures and limits only
        from open() on.
        """
        order = (
            [os.fsencode(argument) for argument in launch.argv],
            {os.fsencode(key): os.fsencode(value) for key, value in launch.env.items()},
            launch.cwd, launch.rlimits, launch.memory_bytes, launch.cpu_s, launch.processes,
            launch.cores, gated,
        )  # fmt: skip
        self._started = True
        try:
            self._say(("start", *order), launch.fds())
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            self._say(("end", True))
            self._finish(LaunchFailed("exec", errno.E2BIG, "arguments and environment are too long", "exec"))
            self._wake()

    def end(self, *, kill: bool) -> None:
        """kill=False: SIGTERM, then SIGCONT, to every process of the tree; kill=True: SIGKILL until empty."""
        if not self._over and not self._closed:
            self._say(("end", kill))

    def limit(self, rlimits: dict[str, tuple[int, int]], user: int | None, processes: int | None) -> None:
        """Sets the kernel's limits of a program that waits behind its gate. OSError if it is gone, or may not be.

        user: the slot's uid, where it is not our own. processes: as Launch takes it.
        """
        if self._program_pidfd is None:
            raise ProcessLookupError(errno.ESRCH, "there is no program behind a gate")
        if processes is not None:
            ceiling = processes + self._processes_beside_job
            rlimits = rlimits | {"NPROC": (ceiling, ceiling)}
        late_limits.limit(self._program_pidfd, rlimits, user)

    def open(
        self, content: bytes, *, memory_bytes: int | None, cpu_s: float | None, processes: int | None,
        cores: float | None = None,
    ) -> None:  # fmt: skip
        """Sends the job through the gate; from now on it is measured and limited. Then: Started, or NotBegun."""
        self._say(("open", content, memory_bytes, cpu_s, processes, cores))

    def hold_to(self, memory_bytes: int | None, cpu_s: float | None) -> None:
        """For a program that does many jobs: from now on the whole tree has these limits, CPU time counted from now."""
        if not self._over and not self._closed:
            self._say(("hold", memory_bytes, cpu_s))

    def rest(self) -> None:
        """Nothing is measured and limited until the next hold_to(): an idle program costs nothing."""
        self.use = None
        if not self._over and not self._closed:
            self._say(("rest",))

    def close(self) -> bool:
        """Gives the slot up. True: nothing of it lives any more (the keeper may be on its last line).

        Immediate after the last event or before start(); else it kills what runs: milliseconds, at most 6 s.
        """
        if self._closed:
            return True
        gone = self._over or not self._started or self._give_up()
        self._closed = True
        self._readiness.close()
        self._control.close()
        for fd in (self._work_fd, self._program_pidfd, self._keeper_pidfd, self._holder_pidfd):
            if fd is not None:
                os.close(fd)
        with contextlib.suppress(OSError):  # whatever is left is removed when the next holder starts
            folder.remove(self._folder_fd, self._name)
        os.close(self._folder_fd)
        return gone

    def _give_up(self) -> bool:
        with contextlib.suppress(OSError):
            self._control.shutdown(_socket.SHUT_WR)
        deadline_s = time.monotonic() + _GIVE_UP_S
        while not self._over and time.monotonic() < deadline_s:
            self._readiness.poll(0.1)
            self.receive()
        return self._over and not any(isinstance(event, KeeperLost) and not event.gone for event in self._said)

    def _say(self, request: message.Message, fds: list[int] | None = None) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its loss is reported by receive()
            message.send(self._control, request, fds or ())

    def _hear(self) -> bool:
        try:
            report, fds = message.receive_now(self._control)
        except BlockingIOError:
            return False
        if report is None:
            self._silent_since_s = time.monotonic()
            self._readiness.unregister(self._control)
            return False
        _REPORTS[report[0]](self, fds, *report[1:])
        return True

    def _born(self, fds: list[int], pid: int) -> None:
        self.keeper_pid, self._keeper_pidfd = pid, fds[0]

    def _prepared(self, fds: list[int], job_dir: str, fallbacks: dict[str, str]) -> None:
        self._work_fd = fds[0]
        self._said.append(Prepared(fds[0], job_dir, fallbacks))

    def _gated(self, fds: list[int], processes_beside_job: int) -> None:
        self._program_pidfd, self._processes_beside_job = fds[0], processes_beside_job
        self._said.append(Gated())

    def _waiting(self, fds: list[int]) -> None:
        self._said.append(Waiting())

    def _not_begun(self, fds: list[int], status: int) -> None:
        self._finish(NotBegun(status))

    def _began(self, fds: list[int], pid: int) -> None:
        self._said.append(Started(pid))

    def _used(self, fds: list[int], cpu_s: float, memory_bytes: int) -> None:
        self.use = Use(cpu_s, memory_bytes)

    def _failed(self, fds: list[int], *failure: Any) -> None:
        self._finish(LaunchFailed(*failure))

    def _ended(self, fds: list[int], *account: Any) -> None:
        self._finish(Ended(*account))

    def _faulted(self, fds: list[int], reason: str, gone: bool) -> None:
        self._fault = (reason, gone)

    def _finish(self, event: Event) -> None:
        if not self._over:
            self._over = True
            self._said.append(event)

    def _settle_loss(self, since_s: float) -> None:
        """The keeper hung up without a last report: waits, by pidfd, for the proof that it and its tree are gone."""
        reason, gone = self._fault or ("the keeper ended without a report", False)
        if gone:
            self._finish(KeeperLost(reason, True))
            return
        pidfd = self._holder_pidfd if self._keeper_pidfd is None else self._keeper_pidfd
        with contextlib.suppress(FileExistsError):
            self._readiness.register(pidfd, select.EPOLLIN)
        if _has_ended(pidfd) and not self._orphans_left():
            self._finish(self._verdict(reason))
        elif time.monotonic() >= since_s + _GIVE_UP_S:
            self._finish(KeeperLost(f"{reason}, and its processes cannot be killed", False))

    def _orphans_left(self) -> bool:
        """What a dead holder left behind has come to us, if we are a subreaper."""
        return _has_ended(self._holder_pidfd) and syscalls.is_subreaper() and bool(self._sweep.step())

    def _verdict(self, reason: str) -> KeeperLost:
        if self._keeper_pidfd is not None or syscalls.is_subreaper():
            return KeeperLost(reason, True)
        return KeeperLost(f"{reason}; what it left went to a process above this one", False)

    def _wake(self) -> None:
        self._readiness.modify(self._control, select.EPOLLIN | select.EPOLLOUT)


_REPORTS: dict[str, Callable[..., None]] = {
    "born": Slot._born,
    "prepared": Slot._prepared,
    "gated": Slot._gated,
    "waiting": Slot._waiting,
    "started": Slot._began,
    "used": Slot._used,
    "not_begun": Slot._not_begun,
    "failed": Slot._failed,
    "ended": Slot._ended,
    "fault": Slot._faulted,
}


def _has_ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))
