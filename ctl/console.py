"""The terminal: data on stdout, talk on stderr, bytes as they are, and nothing hostile in anything else.

It writes to the descriptors itself, at once and whole, so that no buffer holds output back and none is left to fail
at exit. It never reads.
"""

from __future__ import annotations

import contextlib
import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STDOUT, STDERR = 1, 2
_ERASE_LINE = b"\r\x1b[K"
_COLORS = {
    "running": "36",
    "busy": "36",
    "completed": "32",
    "healthy": "32",
    "failed": "31",
    "parked": "31",
    "degraded": "31",
    "cancelled": "33",
    "backoff": "33",
    "stopping": "33",
    "draining": "33",
    "paused": "33",
    "scheduled": "2",
    "idle": "2",
    "starting": "2",
    "ok": "32",
    "warn": "33",
    "fail": "31",
    "skipped": "2",
}


class Console:
    """How to say things: `json` and `quiet` as asked for, colours only where stdout is a terminal that shows them."""

    def __init__(self, json: bool = False, quiet: bool = False, color: bool = True) -> None:
        self.json = json
        self.quiet = quiet
        self.out_is_terminal = _is_terminal(STDOUT)
        self.err_is_terminal = _is_terminal(STDERR)
        self._is_colorless = not color
        self._color = (
            color and self.out_is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        )
        self._last_byte = b"\n"
        self._line = b""
        self._one_at_a_time: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()

    @property
    def can_draw(self) -> bool:
        """Whether a line that changes may stand below the talk: on a terminal that is not asked to be plain."""
        plain = self.json or self.quiet or os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb"
        return self.err_is_terminal and not plain and not self._is_colorless

    def share(self) -> None:
        """From now on more than one thread may write."""
        import threading

        # Entered again by a signal handler that complains.
        self._one_at_a_time = threading.RLock()

    def draw(self, text: str) -> None:
        """Makes `text` the line at the bottom, until something else is written. Nothing, if `text` is empty.

        A job's line that has not ended yet is left alone: there is no line to draw on.
        """
        with self._one_at_a_time:
            line = text.encode(errors="backslashreplace")
            if line == self._line or self._last_byte != b"\n":
                return
            self._line = line
            write_all(STDERR, _ERASE_LINE + line)

    def write(self, fd: int, data: bytes) -> None:
        """All of `data` to the descriptor, unchanged."""
        with self._one_at_a_time:
            if data and (fd == STDERR or self.out_is_terminal):
                self.draw("")
            self._write(fd, data)

    def _write(self, fd: int, data: bytes) -> None:
        if data and (fd == STDERR or (self.out_is_terminal and self.err_is_terminal)):
            self._last_byte = data[-1:]
        write_all(fd, data)

    def print(self, text: str) -> None:
        """One line of data. What comes from elsewhere must have been through `escape`."""
        self.write(STDOUT, text.encode(errors="backslashreplace") + b"\n")

    def print_json(self, value: Any) -> None:
        """`value` as one line of JSON; ASCII, so that nothing in it can act on a terminal."""
        import json

        self.print(json.dumps(value, separators=(",", ":")))

    def say(self, text: str) -> None:
        """Talk: a line on stderr, unless quiet."""
        if not self.quiet:
            self.complain(text)

    def complain(self, text: str) -> None:
        """One to three lines on stderr with our name; begins a line of its own after a job's output."""
        lines = [f"workerctl: {escape(line)}\n" for line in text.split("\n", 2)]
        start = "" if self._last_byte == b"\n" else "\n"
        self.write(STDERR, (start + "".join(lines)).encode(errors="backslashreplace"))

    @property
    def colors(self) -> bool:
        """Whether stdout is to be coloured."""
        return self._color

    def paint(self, state: str, text: str | None = None) -> str:
        """`text` (else the state itself) in the colour of `state`."""
        shown = state if text is None else text
        color = _COLORS.get(state) if self._color else None
        return f"\x1b[{color}m{shown}\x1b[0m" if color else shown

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None where stdout is none, so that nothing is ever cut from data."""
        return width_of(STDOUT) if self.out_is_terminal else None


def color_of(state: str) -> str | None:
    """The terminal's number of the colour of a state."""
    return _COLORS.get(state)


def escape(text: object) -> str:
    """`text` with everything that is not a visible character written out: a name cannot move the cursor."""
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(char if char.isprintable() else _escaped(char) for char in shown)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", errors="surrogatepass").decode()


def width_of(fd: int) -> int | None:
    """Columns of the terminal at `fd`; None if it does not know."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(fd).columns or None
    except OSError:
        return None


def write_all(fd: int, data: bytes) -> None:
    """Writes all of `data`, also to a pipe that somebody made non-blocking."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            select.select([], [fd], [])


def fill_standard_fds() -> None:
    """Opens what is closed of 0, 1 and 2: the daemon's socket would get that number, and a job's output be a request.

    Data for a stdout that is closed stays an error; talk for a stderr that is closed is nobody's loss.
    """
    for fd, mode in ((0, os.O_RDWR), (STDOUT, os.O_RDONLY), (STDERR, os.O_RDWR)):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, mode)  # the lowest free number, which is `fd`


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False
