"""Signals as bytes on a pipe: the interpreter's own handler writes the number, the loop reads it.

No Python code of ours ever runs inside a handler; nothing is logged, allocated or decided there.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Final

from supervisor.arbiter.loop import Loop

STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
IGNORED: Final = (signal.SIGUSR1, signal.SIGUSR2)
"""Signals that would end a process but mean nothing here; they leave a line in the log."""


def install(loop: Loop, received: Callable[[signal.Signals], None]) -> None:
    """Calls `received` from the loop for each signal. Signals that arrive together may count as one."""
    read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def drain() -> None:
        try:
            numbers = os.read(read_end, 4096)
        except BlockingIOError:
            return
        for number in numbers:
            received(signal.Signals(number))

    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    for number in (*STOPPING, *IGNORED, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, _let_the_byte_speak)
    loop.watch(read_end, drain)


def let_in() -> None:
    """What was kept out since before the exec of this program is delivered now."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _let_the_byte_speak(number: int, frame: FrameType | None) -> None:
    """A handler must be there for the interpreter to write the byte."""
