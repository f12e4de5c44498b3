"""The worker's handle of a holder process.

Invariant: the holder is a fresh exec of a slim program, a direct child of the worker's main thread; the worker
reaps it by its pid, once, and nobody else may.
Never: forks the worker; blocks but in start() and close(), both bounded.
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import fcntl
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence

from supervisor.sandbox import folder, levels, message, remedy, syscalls
from supervisor.sandbox.event import LaunchFailed, Prepared
from supervisor.sandbox.fault import SandboxError
from supervisor.sandbox.launch import Bind, SlotClass
from supervisor.sandbox.orphan import kill_orphans
from supervisor.sandbox.slot import Slot

_READY_TIMEOUT_S = 15.0
_CLOSE_TIMEOUT_S = 7.0
_KILL_TIMEOUT_S = 2.0
_FIRST_FD = 10
_ENVIRONMENT = ("LD_LIBRARY_PATH", "LANG", "PATH")  # what an interpreter may need to start at all
_CODE_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_PROGRAM = "import sys; sys.path.append(sys.argv.pop(1)); from supervisor.sandbox.holder_program import main; main()"

# Children of this process that an orphan sweep must leave alone: all holders that are not reaped yet. A caller
# with other children of its own adds their pids.
known_children: set[int] = set()


class Holder:
    """One running holder. level: as asked; enforced: aspect -> how, or why not; pid and pidfd of the process."""

    def __init__(self, level: str, pid: int, pidfd: int, control: _socket.socket, folder_fd: int, place: str) -> None:
        self.level = level
        self.pid = pid
        self.pidfd = pidfd
        self.enforced: dict[str, str] = {}
        self._control = control
        self._folder_fd = folder_fd
        self._place = place
        self._slots = 0
        self._closed = False

    @classmethod
    def start(
        cls,
        level: str,
        *,
        work_root: str,
        name: str,
        slot_uid: int | None = None,
        binds: Sequence[Bind] = (),
        keep_fds: Sequence[int] = (),
        title: str | None = None,
        mark: Mapping[str, str] | None = None,
        cgroup: str | None = None,
        user: tuple[int, int, tuple[int, ...]] | None = None,
    ) -> Holder:
        """Starts a holder and waits until a first slot was prepared for a trial (about 40 ms).

        work_root/name becomes the slot's own folder, emptied. slot_uid: under root the uid (and gid) of the jobs,
        needed and never 0; else the daemon's own or None. keep_fds stay open in holder and keepers, never in
        jobs. title: what ps shows; the word holder in it becomes keeper in keepers. mark: variables in the
        environment of holder and keepers, by which leftovers are known. cgroup: see delegated_cgroup(); the folder
        below which each job gets a group. user: uid, gid and groups of the operator's own code, for which level is
        "none": it is kept apart from nothing. Raises SandboxError.
        """
        if level not in (levels.LEVELS if user is None else levels.TRUSTED):
            raise SandboxError("level", errno.EINVAL, f"{level!r} is none of {', '.join(levels.LEVELS)}")
        if threading.get_native_id() != os.getpid():
            raise SandboxError("spawn", errno.EINVAL, "a holder dies with the thread that starts it: use the main one")
        uid, gid, groups = _job_user(slot_uid) if user is None else user
        with levels.Step("work folder"):
            folder_fd = _own_folder(work_root, name)
        place = os.path.join(os.path.abspath(work_root), name)
        title = title or "supervisor-sandbox: holder"
        packed = [(bind.source, bind.target, bind.writable) for bind in binds]
        try:
            with levels.Step("spawn"):
                pid, control = _spawn(keep_fds, dict(mark or {}))
        except BaseException:
            os.close(folder_fd)
            raise
        known_children.add(pid)
        holder = cls(level, pid, os.pidfd_open(pid), control, folder_fd, place)
        try:
            holder._greet((level, place, uid, gid, packed, title, cgroup, groups))
            holder._try_slot()
        except SandboxError as error:
            error.remedy = remedy.remedy_for(level, error.step, error.errno)
            holder.close()
            raise
        except BaseException:
            holder.close()
            raise
        return holder

    def _greet(self, site: message.Message) -> None:
        with levels.Step("spawn"), contextlib.suppress(BrokenPipeError, ConnectionResetError):
            message.send(self._control, site)
        if not _readable(self._control.fileno(), _READY_TIMEOUT_S):
            raise SandboxError("holder", errno.ETIMEDOUT, f"no answer within {_READY_TIMEOUT_S:.0f} s")
        answer, _ = message.receive_now(self._control)
        if answer is None:
            raise SandboxError("holder", 0, "it ended while it was starting")
        if answer[0] == "failed":
            raise SandboxError(*answer[1:])
        self.enforced = answer[1]

    def _try_slot(self) -> None:
        """Half of a sandbox is set up by each keeper: what does not work there shall show now, not at a job."""
        slot = self.prepare(SlotClass())
        try:
            deadline_s = time.monotonic() + _READY_TIMEOUT_S
            while time.monotonic() < deadline_s:
                _readable(slot.fileno(), _READY_TIMEOUT_S)
                for event in slot.receive():
                    if isinstance(event, Prepared):
                        return
                    if isinstance(event, LaunchFailed):
                        raise SandboxError(event.step, event.errno, event.message)
                    raise SandboxError("keeper", 0, getattr(event, "reason", "it ended while it was starting"))
            raise SandboxError("keeper", errno.ETIMEDOUT, f"no slot within {_READY_TIMEOUT_S:.0f} s")
        finally:
            slot.close()

    def fileno(self) -> int:
        """Readable when the holder has died."""
        return self._control.fileno()

    def alive(self) -> bool:
        return not self._closed and not _readable(self.pidfd, 0)

    def prepare(self, slot_class: SlotClass) -> Slot:
        """Asks for a slot and returns at once. The slot reports Prepared, LaunchFailed or KeeperLost.

        Where the holder itself is the keeper (no pid namespace) a second slot waits for the end of the first.
        Raises SandboxError if the holder is dead, or no descriptor is free.
        """
        self._slots += 1
        name = f"job-{self._slots}"
        request = (
            slot_class.network, slot_class.disk_bytes, slot_class.inodes, slot_class.tmp_bytes, slot_class.work, name,
        )  # fmt: skip
        with levels.Step("prepare"), contextlib.ExitStack() as undo:
            ours, theirs = message.pair()
            undo.callback(ours.close)
            with contextlib.closing(theirs):
                slot = Slot(ours, _copy(self.pidfd, undo), _copy(self._folder_fd, undo), name, known_children)
                message.send(self._control, request, [theirs.fileno()])
            undo.pop_all()
        return slot

    def close(self) -> bool:
        """Ends holder, keepers and jobs. True: all verified gone; False: something could not be killed.

        Takes milliseconds as a rule, at most about 10 s.
        """
        if self._closed:
            return True
        self._closed = True
        self._control.shutdown(_socket.SHUT_RDWR)
        gone = True
        if not _readable(self.pidfd, _CLOSE_TIMEOUT_S):
            gone = False
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        reaped = self._reap()
        if reaped and syscalls.is_subreaper():
            gone = kill_orphans(known_children, _KILL_TIMEOUT_S)
        self._control.close()
        os.close(self.pidfd)
        with contextlib.suppress(OSError):
            folder.empty(self._folder_fd)
            os.rmdir(self._place)
        os.close(self._folder_fd)
        return gone and reaped

    def _reap(self) -> bool:
        deadline_s = time.monotonic() + _KILL_TIMEOUT_S
        while not _readable(self.pidfd, 0.05):
            if time.monotonic() > deadline_s:
                return False
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        known_children.discard(self.pid)
        return True


def _job_user(slot_uid: int | None) -> tuple[int, int, tuple[int, ...]]:
    uid = _job_uid(slot_uid)
    return uid, uid if os.geteuid() == 0 else os.getegid(), ()


def _job_uid(slot_uid: int | None) -> int:
    own = os.geteuid()
    if own == 0 and not slot_uid:
        raise SandboxError("slot_uid", errno.EINVAL, "a daemon that runs as root must give its jobs another uid")
    if own != 0 and slot_uid not in (None, own):
        raise SandboxError("slot_uid", errno.EPERM, "only root can give its jobs another uid")
    return slot_uid or own


def _own_folder(work_root: str, name: str) -> int:
    """work_root/name, empty, passable for a slot uid if we are root."""
    root_fd = folder.open_folder(work_root)
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=root_fd)
        fd = folder.open_folder(name, root_fd)
    finally:
        os.close(root_fd)
    os.fchmod(fd, 0o711 if os.geteuid() == 0 else 0o700)
    folder.empty(fd)
    return fd


def _spawn(keep_fds: Sequence[int], mark: dict[str, str]) -> tuple[int, _socket.socket]:
    ours, theirs = message.pair()
    passed = [fcntl.fcntl(fd, fcntl.F_DUPFD, _FIRST_FD) for fd in (theirs.fileno(), *keep_fds)]
    theirs.close()
    try:
        arguments = [_CODE_ROOT, str(passed[0]), str(os.getpid()), ",".join(map(str, passed[1:]))]
        # The fds in `passed` are inheritable for these lines only; the worker has one thread.
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", "-c", _PROGRAM, *arguments],
            {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ} | mark,
            setsid=True,
            setsigmask=(),
        )
    except BaseException:
        ours.close()
        raise
    finally:
        for fd in passed:
            os.close(fd)
    return pid, ours


def _copy(fd: int, undo: contextlib.ExitStack) -> int:
    copy = os.dup(fd)
    undo.callback(os.close, copy)
    return copy


def _readable(fd: int, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))
