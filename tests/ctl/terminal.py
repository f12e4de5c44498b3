"""A terminal for tests: a pseudo-terminal of a given size with the command on it, and what its screen shows."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator

from fake_broker import ROOT

WITHIN_S = 30.0
_IN_FOREGROUND = (
    "import fcntl, os, sys, termios\nfcntl.ioctl(0, termios.TIOCSCTTY, 0)\nos.execv(sys.argv[1], sys.argv[1:])"
)
"""Makes the terminal the controlling one of the new session, as a terminal window does for its shell."""
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class OnTerminal:
    """A command as the foreground of a terminal of its own. `shown` has every byte it wrote to it."""

    def __init__(self, command: list[str], columns: int, lines: int, env: dict[str, str | None]) -> None:
        self._master, self._slave = pty.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(self._slave)
        settings = {**os.environ, "TERM": "xterm", "COLUMNS": None, "LINES": None, "NO_COLOR": None, **env}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _IN_FOREGROUND, *command],
            cwd=ROOT,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={name: value for name, value in settings.items() if value is not None},
            start_new_session=True,
        )
        self.shown = ""

    def resize(self, columns: int, lines: int) -> None:
        """As a user does who pulls at the window's corner."""
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, keys: str) -> None:
        """As if typed."""
        os.write(self._master, keys.encode())

    def until(self, what: Callable[[], object], saying: str = "it") -> None:
        """Reads what is written until `what()` is true."""
        end = time.monotonic() + WITHIN_S
        while not what():
            assert time.monotonic() < end, f"{saying} was not shown; the screen:\n{self.screen}"
            self._read(0.05)

    def sees(self, text: str) -> None:
        """Reads until the newest picture has `text` in it."""
        self.until(lambda: text in self.screen, repr(text))

    @property
    def screen(self) -> str:
        """The newest whole picture, without colours."""
        pictures = [piece for piece in self.shown.split("\x1b[H")[1:] if "\x1b[J" in piece]
        return _CONTROL.sub("", pictures[-1].partition("\x1b[J")[0]).replace("\r", "") if pictures else ""

    def ends(self) -> int:
        """Reads to the end; returns how the process ended."""
        self.until(lambda: self.process.poll() is not None, "the end")
        self._read(0.05)
        return self.process.wait()

    @property
    def is_as_before(self) -> bool:
        """Whether keyboard and screen were given back."""
        left, entered = self.shown.rfind("\x1b[?1049l"), self.shown.rfind("\x1b[?1049h")
        return (
            termios.tcgetattr(self._slave) == self.before and left >= entered and "\x1b[?25l" not in self.shown[left:]
        )

    def _read(self, within_s: float) -> None:
        while select.select([self._master], [], [], within_s)[0]:
            try:
                piece = os.read(self._master, 65536)
            except OSError:
                return
            self.shown += piece.decode("utf-8", "replace")
            within_s = 0

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        for fd in (self._master, self._slave):
            os.close(fd)


@contextlib.contextmanager
def on_terminal(
    *words: str, columns: int = 100, lines: int = 24, program: str | None = None, **env: str | None
) -> Iterator[OnTerminal]:
    """Runs `workerctl WORDS` (or `program`) there; ends it afterwards if it has not ended."""
    command = [sys.executable, "-m", "ctl", *words] if program is None else [program, *words]
    running = OnTerminal(command, columns, lines, env)
    try:
        yield running
    finally:
        running.close()
