"""The keeper: starts one job, watches it, ends it, proves that nothing is left, and reports.

Invariant: the same program at every level; what differs (how the tree is found and killed, what was set up
before) comes from the rows of the level. Its own kills are recorded as intents before the signal, and count
only if the main process really died of it. After the job's exec no failure is reported as a launch error.
Never: runs two jobs at once; has a signal handler (SIGCHLD is blocked and read from a signalfd); decides that
a job shall end, but for memory and CPU.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import time

from supervisor.sandbox import job, levels, message, syscalls
from supervisor.sandbox.fault import SandboxError
from supervisor.sandbox.site import Order, Room
from supervisor.sandbox.watch import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

    from supervisor.sandbox.levels import Mechanism
    from supervisor.sandbox.message import Message
    from supervisor.sandbox.site import Site

_STUCK_AFTER_S = 5.0
_PAUSE_MS = 5
_FOR_EVER = -1
_LIMITS = ("memory", "cpu")


class Gone(Exception):
    """The worker gave the slot up or died, or the holder above did: end everything, no job report."""


class Keeper:
    """One slot's life. control: the slot's socket; children: a signalfd of SIGCHLD; above: a descriptor, and
    the poll event on it that says that the process this one depends on is gone."""

    def __init__(
        self,
        rows: tuple[Mechanism, ...],
        site: Site,
        room: Room,
        control: _socket.socket,
        children: int,
        above: tuple[int, int],
    ) -> None:
        self._rows = rows
        self._site = site
        self._room = room
        self._control = control
        self._children = children
        self._above = above[0]
        self._tree = levels.tree_of(rows)
        self._watch: Watch | None = None
        self._main = 0
        self._status: int | None = None
        self._intent: str | None = None
        self._killed_for: str | None = None
        self._obeying = False
        self._on_request = False
        self._leftover = 0
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._poll.register(children, select.POLLIN)
        self._poll.register(*above)

    def serve(self) -> None:
        """From the room to the report. Whatever happens, no process of the job is left, or it is stuck."""
        try:
            self._prepare_room()
            self._run(self._await_order())
        except SandboxError as error:
            self._say(("failed", error.step, error.errno, error.message, "sandbox"))
        except Gone:
            # A worker that gave the slot up still listens for this; one that died does not.
            self._say(("fault", "it was given up", not self._empty()))
        except Exception as error:  # told to the worker, never taken for a launch error
            self._say(("fault", f"the keeper failed: {error!r}", not self._empty()))
        finally:
            self._empty()
            self._leave_room()

    def _prepare_room(self) -> None:
        if self._empty():
            raise SandboxError("previous job", errno.EBUSY, "processes of the job before cannot be killed")
        try:
            levels.prepare_keeper(self._rows, self._site, self._room)
            self._say(("prepared", self._room.job_dir, self._room.fallbacks), [self._room.work_fd])
        finally:
            if self._room.work_fd >= 0:
                os.close(self._room.work_fd)

    def _leave_room(self) -> None:
        self._close_ruleset()
        if self._room.group is not None:
            self._room.group.remove()

    def _close_ruleset(self) -> None:
        if self._room.ruleset_fd >= 0:
            os.close(self._room.ruleset_fd)
        self._room.ruleset_fd = -1

    def _await_order(self) -> Order:
        while True:
            self._wait(_FOR_EVER)
            request, fds = self._hear()
            if request is None:
                continue
            if request[0] != "start":
                raise SandboxError("start", errno.ECANCELED, "it was ended before it was started")
            order = Order(*request[1:])
            order.fds = fds
            return order

    def _run(self, order: Order) -> None:
        began_s = time.monotonic()
        self._watch = watch = Watch(self._tree, self._room, order)
        try:
            with levels.Step("fork"):
                self._main, verdict = job.fork(self._rows, self._site, self._room, order)
        finally:
            for fd in order.fds:
                os.close(fd)
            self._close_ruleset()
        self._tree.has_children = True
        failure = self._until_executed(watch, verdict)
        if failure is not None:
            self._empty()
            self._say(("failed", *failure))
            return
        self._say(("started", self._main))
        while self._status is None and not self._killing():
            self._watch_a_while(watch)
        stuck = self._empty()
        self._say(("ended", *self._account(watch, began_s, stuck)))

    def _until_executed(self, watch: Watch, verdict: int) -> tuple[str, int, str, str] | None:
        self._poll.register(verdict, select.POLLIN)
        try:
            while verdict not in self._watch_a_while(watch):
                pass
            return job.launch_failure(os.read(verdict, 65536))
        finally:
            self._poll.unregister(verdict)
            os.close(verdict)

    def _watch_a_while(self, watch: Watch) -> set[int]:
        """Sleeps until something happens or a sample is due, and deals with it. Returns what was readable."""
        pause_s = max(0.0, watch.due_s - time.monotonic())
        ready = self._wait(int(pause_s * 1000) + 1)
        self._reap()
        if self._control.fileno() in ready:
            request, fds = self._hear()
            for fd in fds:
                os.close(fd)
            if request is not None and request[0] == "end":
                self._obey(kill=request[1])
        if self._status is None and not self._killing() and time.monotonic() >= watch.due_s:
            excess = watch.sample()
            if excess is not None:
                self._kill_for(excess)
        return ready

    def _obey(self, *, kill: bool) -> None:
        # Reaped first: a main process that is dead already ended by itself.
        self._reap()
        if self._status is not None:
            return
        self._obeying = True
        if kill:
            self._intent = self._intent or "request"
            self._kill()
        else:
            self._tree.signal(syscalls.SIGTERM)
            self._tree.signal(syscalls.SIGCONT)

    def _kill_for(self, excess: str) -> None:
        self._reap()
        if self._status is None:
            self._intent = excess
            self._kill()

    def _kill(self) -> None:
        self._tree.kill()
        if self._room.group is not None:
            self._room.group.kill()

    def _killing(self) -> bool:
        return self._intent is not None

    def _reap(self) -> None:
        for reaped in self._tree.reap():
            if self._watch is not None:
                self._watch.book(reaped)
            if reaped.pid == self._main and self._status is None:
                self._status = reaped.status
                self._on_request = self._obeying
                if _was_killed(reaped.status):
                    self._killed_for = self._cause_of_kill()
            elif self._status is not None and not self._killing():
                self._leftover += _was_killed(reaped.status)

    def _cause_of_kill(self) -> str | None:
        if self._intent is not None:
            return self._intent if self._intent in _LIMITS else None
        # The kernel counts before it kills.
        group = self._room.group
        return "memory" if group is not None and group.out_of_memory() else None

    def _empty(self) -> bool:
        """Kills until there is no child left. Returns True if that did not succeed: a process is stuck."""
        deadline_s = time.monotonic() + _STUCK_AFTER_S
        while self._tree.has_children:
            self._reap()
            if time.monotonic() > deadline_s:
                break
            if self._tree.has_children:
                self._kill()
                self._pause()
        return self._tree.has_children

    def _pause(self) -> None:
        poll = select.poll()
        poll.register(self._children, select.POLLIN)
        poll.poll(_PAUSE_MS)
        self._forget_signals()

    def _wait(self, timeout_ms: int) -> set[int]:
        ready = {fd for fd, _ in self._poll.poll(timeout_ms)}
        if self._above in ready:
            raise Gone
        if self._children in ready:
            self._forget_signals()
        return ready

    def _forget_signals(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._children, 4096)

    def _hear(self) -> tuple[Message | None, list[int]]:
        try:
            request, fds = message.receive_now(self._control)
        except BlockingIOError:
            return None, []
        if request is None:
            raise Gone
        return request, fds

    def _say(self, report: Message, fds: tuple[int, ...] | list[int] = ()) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # seen as Gone where it matters
            message.send(self._control, report, fds)

    def _account(self, watch: Watch, began_s: float, stuck: bool) -> Message:
        watch.settle()
        group = self._room.group
        return (
            syscalls.SIGKILL if self._status is None else self._status,
            self._killed_for,
            self._on_request,
            time.monotonic() - began_s,
            watch.used_cpu_s,
            watch.peak_memory_bytes,
            watch.max_rss_bytes,
            watch.peak_threads,
            self._leftover,
            stuck,
            group is not None and group.pids_refused(),
            group.peak_bytes() if group is not None else 0,
        )


def _was_killed(status: int) -> bool:
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == syscalls.SIGKILL
