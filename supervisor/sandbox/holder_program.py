"""The program of a holder: a slim process, one a worker slot, that gives each job its keeper.

Invariant: one thread, few imports, all signals at their defaults (SIGCHLD blocked, read from a signalfd), dies
with its worker and takes everything with it. Where the level has clone flags each job gets a cloned keeper;
where it has none the holder itself is the keeper, one job after the other.
Never: runs user code, reads client bytes, or keeps anything of a job.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import sys

from supervisor.sandbox import levels, message, syscalls
from supervisor.sandbox.fault import SandboxError
from supervisor.sandbox.keeper import Keeper
from supervisor.sandbox.site import Room, Site
from supervisor.sandbox.title import Title
from supervisor.sandbox.tree import SubreaperTree

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

_OCCUPIED = 4  # 0 to 3 stay on /dev/null: a job's descriptors are moved there from above
_KEEPER_FAILED = 70


class Holder:
    """Waits for requests of its worker and for the end of its keepers."""

    def __init__(self, control: _socket.socket, site: Site, title: Title) -> None:
        self._control = control
        self._site = site
        self._title = title
        self._rows = levels.mechanisms_of(site.level)
        syscalls.reset_signal_handlers()
        syscalls.block_signals((syscalls.SIGCHLD,))
        self._children = syscalls.open_signal_fd((syscalls.SIGCHLD,))
        self._me = os.pidfd_open(os.getpid())

    def run(self) -> None:
        """Until the worker closes the conversation."""
        if not self._set_up():
            return
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._children, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._children in ready:
                self._bury_keepers()
            if self._control.fileno() in ready and not self._obey():
                break
        self._end_keepers()
        levels.close_holder(self._rows, self._site)

    def _set_up(self) -> bool:
        try:
            levels.prepare_holder(self._rows, self._site)
        except SandboxError as error:
            message.send(self._control, ("failed", error.step, error.errno, error.message))
            return False
        gc.collect()
        gc.freeze()
        gc.disable()
        message.send(self._control, ("ready", levels.enforced_by(self._rows, self._site)))
        return True

    def _obey(self) -> bool:
        request, fds = message.receive_now(self._control)
        if request is None:
            return False
        room = Room(*request)
        slot = message.adopt(fds[0])
        try:
            flags = levels.clone_flags(self._rows, room)
            if flags:
                self._clone_keeper(room, slot, flags)
            else:
                Keeper(self._rows, self._site, room, slot, self._children, (self._control.fileno(), 0)).serve()
        finally:
            slot.close()
        return True

    def _clone_keeper(self, room: Room, slot: _socket.socket, flags: int) -> None:
        try:
            pid, pidfd = syscalls.clone(flags)
        except OSError as error:
            fault = SandboxError.of("clone", error)
            _say(slot, ("failed", fault.step, fault.errno, fault.message, "sandbox"), [])
            return
        if pid == 0:
            self._be_keeper(room, slot)
        _say(slot, ("born", pid), [pidfd])
        os.close(pidfd)

    def _be_keeper(self, room: Room, slot: _socket.socket) -> None:
        """PID 1 of fresh namespaces. Never returns."""
        try:
            syscalls.die_with_parent()
            # getppid() is 0 in here whether the holder lives or not: ask its pidfd.
            if _is_readable(self._me):
                os._exit(0)
            self._control.close()
            self._title.show(self._site.title.replace("holder", "keeper"))
            Keeper(self._rows, self._site, room, slot, self._children, (self._me, select.POLLIN)).serve()
            os._exit(0)
        except BaseException as error:  # a cloned child must never return
            _say(slot, ("fault", f"the keeper failed: {error!r}", False), [])
        finally:
            os._exit(_KEEPER_FAILED)

    def _bury_keepers(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._children, 4096)
        with contextlib.suppress(ChildProcessError):
            # Any child: nothing else in this process waits, and whether a keeper reported well is told on its socket.
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass

    def _end_keepers(self) -> None:
        """Each keeper is PID 1 of its namespace: with it dies, and is gone when it is reaped, all of its job."""
        tree = SubreaperTree()
        tree.kill()
        with contextlib.suppress(ChildProcessError):
            while True:  # any child, until there is none: nothing else in this process waits
                os.waitpid(-1, 0)


def main() -> None:
    """argv: control descriptor, worker's pid, descriptors to keep (comma separated); the site comes as a message."""
    control_fd, worker_pid = int(sys.argv[1]), int(sys.argv[2])
    kept = [int(fd) for fd in sys.argv[3].split(",") if fd]
    syscalls.die_with_parent()
    if os.getppid() != worker_pid:
        return
    # The folders of the private root must be passable for the job's uid, whatever umask the daemon has.
    os.umask(0o022)
    control_fd = _arrange_descriptors(control_fd, kept)
    control = message.adopt(control_fd)
    _is_readable(control_fd, for_ever=True)
    request, _ = message.receive_now(control)
    if request is None:
        return
    site = Site(*request)
    title = Title()
    title.show(site.title)
    Holder(control, site, title).run()


def _arrange_descriptors(control_fd: int, kept: list[int]) -> int:
    """Everything else is closed, and nothing goes through a job's exec. Returns the control descriptor."""
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd >= _OCCUPIED and fd != control_fd and fd not in kept:
            with contextlib.suppress(OSError):
                os.close(fd)
    if control_fd < _OCCUPIED or any(fd < _OCCUPIED for fd in kept):
        raise ValueError("descriptors handed to a holder start at 4")
    null = os.open("/dev/null", os.O_RDWR)
    for fd in range(_OCCUPIED):
        if fd != null:
            os.dup2(null, fd)
    if null >= _OCCUPIED:
        os.close(null)
    syscalls.close_on_exec_from(_OCCUPIED - 1)
    return control_fd


def _is_readable(fd: int, *, for_ever: bool = False) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(None if for_ever else 0))


def _say(slot: _socket.socket, report: message.Message, fds: list[int]) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        message.send(slot, report, fds)
