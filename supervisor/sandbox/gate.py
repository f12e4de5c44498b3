"""A gate: a program that is started before its job is known waits behind it, and goes on when it is opened.

Invariant: the program says READY when it waits and PASSED when it has taken what came through; PASSED before its end
is the only proof that a job was begun. One message goes through, once. Both ends are gone before the job's own code.
Never: blocks the keeper; knows what the message says.
"""

from __future__ import annotations

import _socket
import os
import time

GATE_FD = 63
"""The program's end. High, so that what the program opens meanwhile gets the numbers it would get without a gate;
below 64, so that its table of descriptors does not grow."""
READY, PASSED = b"R", b"G"
LONGEST_BYTES = 64 << 10
"""Of a message: it must fit into the socket's buffer, since the program may be busy with its own start."""
_CLOCK_OF_A_PROCESS = 2


class Gate:
    """The keeper's end, and until close_program_end() the program's as well."""

    def __init__(self) -> None:
        self._end, program_end = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        self._program_end: _socket.socket | None = program_end
        self.ready = False
        self.opened = False
        self.passed = False

    def fileno(self) -> int:
        return self._end.fileno()

    @property
    def program_fd(self) -> int:
        """What becomes GATE_FD of the program."""
        return -1 if self._program_end is None else self._program_end.fileno()

    def close_program_end(self) -> None:
        if self._program_end is not None:
            self._program_end.close()
            self._program_end = None

    def open(self, content: bytes) -> None:
        """Sends the message. Whether the program takes it is heard later; a program that is gone never will."""
        self.opened = True
        try:
            sent = self._end.send(content, _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)
        except OSError:
            return
        if sent < len(content):
            self._end.shutdown(_socket.SHUT_WR)  # half of a job is none: the program ends

    def hear(self) -> bool:
        """Takes what the program said. False: it will say nothing more."""
        try:
            said = self._end.recv(16, _socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            said = b""
        self.ready = self.ready or READY in said
        self.passed = self.passed or PASSED in said
        return bool(said)

    def close(self) -> None:
        self.close_program_end()
        self._end.close()


def used_cpu_s(pid: int) -> float:
    """What all threads of an unreaped child have used: clock_getcpuclockid(3), to the nanosecond."""
    try:
        return time.clock_gettime((~pid << 3) | _CLOCK_OF_A_PROCESS)
    except OSError:
        return 0.0


def place(fd: int) -> None:
    """In the forked child: the program's end becomes GATE_FD, and survives the exec."""
    if fd >= 0:
        os.dup2(fd, GATE_FD, inheritable=True)
