"""The keeper: starts one job, watches it, ends it, proves that nothing is left, and reports.

Invariant: the same program at every level; what differs (how the tree is found and killed, what was set up
before) comes from the rows of the level. Its own kills are recorded as intents before the signal, and count
only if the main process really died of it. After the job's exec no failure is reported as a launch error.
Never: runs two jobs at once; has a signal handler (SIGCHLD is blocked and read from a signalfd); decides that
a job shall end, but for memory and CPU.
"""

from __future__ import annotations

import errno
import os
import time

from supervisor.sandbox import job, levels, syscalls
from supervisor.sandbox.fault import SandboxError
from supervisor.sandbox.gate import Gate, used_cpu_s
from supervisor.sandbox.site import Order, Room
from supervisor.sandbox.talk import Gone, Talk
from supervisor.sandbox.watch import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

    from supervisor.sandbox.levels import Mechanism
    from supervisor.sandbox.message import Message
    from supervisor.sandbox.site import Site

_STUCK_AFTER_S = 5.0
_DEEPER_AFTER_S = 0.2
_PAUSE_MS = 5
_FOR_EVER = -1
_LONGEST_PAUSE_S = 3600.0
_LIMITS = ("memory", "cpu")


class Keeper:
    """One slot's life. control, children and above: as Talk takes them."""

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
        self._talk = Talk(control, children, above)
        self._tree = levels.tree_of(rows)
        self._watch: Watch | None = None
        self._gate: Gate | None = None
        self._began_s = 0.0
        self._main = 0
        self._status: int | None = None
        self._intent: str | None = None
        self._killed_for: str | None = None
        self._obeying = False
        self._on_request = False
        self._leftover = 0

    def serve(self) -> None:
        """From the room to the report. Whatever happens, no process of the job is left, or it is stuck."""
        try:
            self._prepare_room()
            self._run(self._await_order())
        except SandboxError as error:
            self._talk.say(("failed", error.step, error.errno, error.message, "sandbox"))
        except Gone:
            # A worker that gave the slot up still listens for this; one that died does not.
            self._talk.say(("fault", "it was given up", not self._empty()))
        except Exception as error:  # told to the worker, never taken for a launch error
            self._talk.say(("fault", f"the keeper failed: {error!r}", not self._empty()))
        finally:
            self._empty()
            self._leave_room()

    def _prepare_room(self) -> None:
        if self._empty():
            raise SandboxError("previous job", errno.EBUSY, "processes of the job before cannot be killed")
        try:
            levels.prepare_keeper(self._rows, self._site, self._room)
            self._talk.say(("prepared", self._room.job_dir, self._room.fallbacks), [self._room.work_fd])
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
            self._talk.wait(_FOR_EVER)
            request, fds = self._talk.hear()
            if request is None:
                continue
            if request[0] != "start":
                raise SandboxError("start", errno.ECANCELED, "it was ended before it was started")
            order = Order(*request[1:])
            order.fds = fds
            return order

    def _run(self, order: Order) -> None:
        self._began_s = time.monotonic()
        self._watch = watch = Watch(self._tree, self._room, order)
        if order.gated:
            self._gate = Gate()
            order.gate_fd = self._gate.program_fd
            watch.rest()
        try:
            with levels.Step("fork"):
                self._main, verdict = job.fork(self._rows, self._site, self._room, order)
        finally:
            for fd in order.fds:
                os.close(fd)
            if self._gate is not None:
                self._gate.close_program_end()
            self._close_ruleset()
        self._tree.has_children = True
        failure = self._until_executed(watch, verdict)
        if failure is not None:
            self._empty()
            self._talk.say(("failed", *failure))
            return
        if self._gate is not None and not self._until_passed(self._gate, watch):
            self._empty()
            self._talk.say(("not_begun", self._status or 0))
            return
        self._talk.say(("started", self._main))
        while self._status is None and not self._killing():
            self._watch_a_while(watch)
        stuck = self._empty()
        self._talk.say(("ended", *self._account(watch, stuck)))

    def _until_executed(self, watch: Watch, verdict: int) -> tuple[str, int, str, str] | None:
        self._talk.also(verdict)
        try:
            while verdict not in self._watch_a_while(watch):
                pass
            return job.launch_failure(os.read(verdict, 65536))
        finally:
            self._talk.no_more(verdict)
            os.close(verdict)

    def _until_passed(self, gate: Gate, watch: Watch) -> bool:
        """Waits, with nothing measured, until there is a job and the program has taken it. False: it never took one."""
        pidfd = os.pidfd_open(self._main)
        self._talk.say(("gated", self._site.processes_beside_job), [pidfd])
        os.close(pidfd)
        self._talk.also(gate.fileno())
        hears = True
        while not gate.passed and self._status is None and not self._killing():
            ready = self._watch_a_while(watch)
            if hears and (gate.fileno() in ready or self._status is not None):
                hears = self._hear_gate(gate)
        if hears:
            self._talk.no_more(gate.fileno())
        gate.close()
        # One that was ended while it took its job has begun it: whoever ended it knows why.
        return gate.passed or (gate.opened and (self._obeying or self._killing()))

    def _hear_gate(self, gate: Gate) -> bool:
        was_ready = gate.ready
        hears = gate.hear()
        if gate.ready and not was_ready:
            self._talk.say(("waiting",))
        if not hears:
            self._talk.no_more(gate.fileno())
        return hears

    def _open_gate(
        self, watch: Watch, content: bytes, memory_bytes: int | None, cpu_s: float | None, processes: int | None,
        cores: float | None,
    ) -> None:  # fmt: skip
        """The job's time, CPU time and limits begin here."""
        if self._gate is None or self._gate.opened:
            return
        if self._room.group is not None:
            self._room.group.limit(memory_bytes, processes, cores)
        self._began_s = time.monotonic()
        watch.begin(used_cpu_s(self._main), memory_bytes, cpu_s)
        self._gate.open(content)

    def _watch_a_while(self, watch: Watch) -> set[int]:
        """Sleeps until something happens or a sample is due, and deals with it. Returns what was readable."""
        pause_s = max(0.0, watch.due_s - time.monotonic())
        ready = self._talk.wait(int(pause_s * 1000) + 1 if pause_s < _LONGEST_PAUSE_S else _FOR_EVER)
        self._reap()
        if self._talk.control_fd in ready:
            request, fds = self._talk.hear()
            for fd in fds:
                os.close(fd)
            if request is not None:
                self._follow(watch, request)
        if self._status is None and not self._killing() and time.monotonic() >= watch.due_s:
            excess = watch.sample()
            if excess is not None:
                self._kill_for(excess)
            self._talk.tell_use(watch.used_cpu_s, watch.memory_bytes)
        return ready

    def _follow(self, watch: Watch, request: Message) -> None:
        match request[0]:
            case "end":
                self._obey(kill=request[1])
            case "hold":
                watch.hold_to(request[1], request[2])
            case "rest":
                watch.rest()
            case "open":
                self._open_gate(watch, *request[1:])

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
        began_s = time.monotonic()
        while self._tree.has_children:
            self._reap()
            if time.monotonic() > began_s + _STUCK_AFTER_S:
                break
            if self._tree.has_children:
                self._kill()
                if time.monotonic() > began_s + _DEEPER_AFTER_S:
                    # HAZARD: a process that one below it traces stays in its exit, killed as it is, until the tracer ends.
                    self._tree.signal(syscalls.SIGKILL)
                self._talk.pause(_PAUSE_MS)
        return self._tree.has_children

    def _account(self, watch: Watch, stuck: bool) -> Message:
        watch.settle()
        group = self._room.group
        return (
            syscalls.SIGKILL if self._status is None else self._status,
            self._killed_for,
            self._on_request,
            time.monotonic() - self._began_s,
            watch.used_cpu_s,
            watch.peak_memory_bytes,
            watch.max_rss_bytes,
            max(watch.peak_threads, 1 + self._leftover),
            self._leftover,
            stuck,
            group is not None and group.pids_refused(),
            group.peak_bytes() if group is not None else 0,
        )


def _was_killed(status: int) -> bool:
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == syscalls.SIGKILL
