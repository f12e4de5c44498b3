"""THE fork of the daemon's processes. Nothing else in the arbiter forks.

Order matters here more than anywhere else: a signal, a descriptor or a thread that crosses the fork by accident is
a deadlock or a leak that shows up weeks later.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, NoReturn

from loguru import logger
from setproctitle import setproctitle

from supervisor import log
from supervisor.arbiter import prctl, proc
from supervisor.arbiter.reap import Child
from supervisor.config import LogSettings
from supervisor.core.errors import SupervisorError
from supervisor.scoreboard import Slot

EXIT_DEFECT: Final = 70
_STANDARD_FDS: Final = (0, 1, 2)


@dataclass(frozen=True)
class Birth:
    """What a child is to be: its role (`worker scripts/1`), its main, and the only descriptors it may keep."""

    role: str
    main: Callable[[], int]
    fds: tuple[int, ...]
    scoreboard: Slot
    log: LogSettings


def spawn(birth: Birth) -> Child:
    """Forks. Raises OSError when the kernel refuses, with no child left behind."""
    _assert_one_thread()
    parent = os.getpid()
    # A descriptor is free now, so that opening the child's pidfd cannot fail when it is too late.
    os.close(os.pidfd_open(parent))
    # Until the child has let go of our wake-up pipe, a signal to it would arrive here as ours.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _live(birth, parent)
        return Child(pid, os.pidfd_open(pid))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _assert_one_thread() -> None:
    names = proc.thread_names()
    if len(names) != 1:
        raise AssertionError(f"a fork needs one thread, here are {len(names)}: {', '.join(sorted(names))}")


def _live(birth: Birth, parent: int) -> NoReturn:
    """The child's whole life. It never returns: the frames above still own the arbiter's sockets and must not unwind,
    or closing them would close descriptors that by then belong to others."""
    status = EXIT_DEFECT
    try:
        _become(birth, parent)
        status = birth.main()
    except SupervisorError as error:
        birth.scoreboard.say(str(error))
        status = error.exit_status
        logger.error("{}", error)
    except BaseException as error:
        birth.scoreboard.say(f"{type(error).__name__}: {error}")
        logger.exception("a defect ended this process")
    finally:
        os._exit(status)


def _become(birth: Birth, parent: int) -> None:
    os.setsid()
    _forget_handlers()
    prctl.die_with_parent()
    if os.getppid() != parent:
        # It died before it could be asked to take us with it.
        os._exit(EXIT_DEFECT)
    _keep_only(birth.fds)
    prctl.hide_memory()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    setproctitle(f"worker-supervisor: {birth.role}")
    log.forget_inherited()
    log.configure(birth.role, birth.log)


def _forget_handlers() -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)


def _keep_only(fds: Iterable[int]) -> None:
    kept = {*_STANDARD_FDS, *fds}
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            try:
                os.close(int(name))
            except OSError:
                # The listing's own descriptor, closed by now.
                pass
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(nothing, 0)
    os.close(nothing)
