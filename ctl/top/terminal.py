"""The terminal while a live screen has it: keys one by one, another screen, no cursor; and the way back.

Invariant: however it is left, what was changed is changed back, once. Signals only leave a note and wake the loop.
Never: writes to a terminal after it was given back.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import termios

from ctl.console import STDOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Any, Self

_ENTER = b"\x1b[?1049h\x1b[?25l\x1b[2J"
_LEAVE = b"\x1b[?25h\x1b[?1049l"
_STALLED_S = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP, signal.SIGWINCH)
_SEQUENCES = {
    "[A": "up", "[B": "down", "OA": "up", "OB": "down", "[5~": "pageup", "[6~": "pagedown", "[H": "home", "[F": "end",
    "OH": "home", "OF": "end", "[1~": "home", "[4~": "end",
}  # fmt: skip
_NAMES = {"\r": "enter", "\n": "enter", "\x7f": "backspace", "\b": "backspace", "\x03": "interrupt"}


class Terminal:
    """While it is entered, the screen is ours. `wait` returns keys; `signals` has what came, oldest first."""

    def __init__(self) -> None:
        self.signals: list[int] = []
        self._fd = -1
        self._out = -1
        self._before: list[Any] | None = None
        self._is_ours = False
        self._handlers: dict[int, Any] = {}
        self._wakes, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        with contextlib.suppress(OSError):  # without one there are no keys, and Ctrl-C ends it
            self._fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._out = _opened_again(STDOUT)
        for number in _SIGNALS:
            self._handlers[number] = signal.signal(number, self._note)
        try:
            self.take()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.give_back()
        finally:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            for fd in (self._fd, self._out):  # not the pipe: threads may still wake us, and numbers are used again
                if fd >= 0:
                    os.close(fd)

    def take(self) -> None:
        """Makes the terminal ours: at the beginning, and when we go on after Ctrl-Z."""
        self._is_ours = True
        if self._fd >= 0:
            self._before = termios.tcgetattr(self._fd)
            raw = termios.tcgetattr(self._fd)
            raw[0] &= ~termios.IXON  # Ctrl-S would stop us in the middle of a picture
            raw[3] &= ~(termios.ICANON | termios.ECHO)
            raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
            termios.tcsetattr(self._fd, termios.TCSADRAIN, raw)
        self._send(_ENTER)

    def give_back(self) -> None:
        """The screen and the keyboard as they were before."""
        if not self._is_ours:
            return
        self._is_ours = False
        try:
            self._send(_LEAVE)
        finally:
            if self._before is not None:
                with contextlib.suppress(termios.error):  # it has hung up
                    termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)

    def suspend(self) -> None:
        """Stops as Ctrl-Z wants it; returns when we are continued."""
        self.give_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._note)
        self.take()

    def wake(self) -> None:
        """Has `wait` return; from any thread, also from one that is left behind."""
        with contextlib.suppress(OSError):
            os.write(self._waker, b"\0")

    def wait(self, timeout_s: float) -> list[str]:
        """The keys that were pressed, once something happens or the time is over. EOFError: the terminal is gone."""
        fds = [self._wakes] if self._fd < 0 else [self._wakes, self._fd]
        ready = select.select(fds, [], [], timeout_s)[0]
        if self._wakes in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wakes, 4096)
        return self._read() if self._fd in ready else []

    def draw(self, lines: list[str]) -> None:
        """The whole screen, each line of which fits. In one piece, so that nothing flickers."""
        if self._is_ours:
            picture = "\x1b[H" + "\x1b[K\r\n".join(lines) + "\x1b[K\x1b[J"
            self._send(picture.encode(errors="backslashreplace"))

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        try:
            size = os.get_terminal_size(STDOUT)
        except OSError:
            return 80, 24
        return size.columns or 80, size.lines or 24

    def _send(self, data: bytes) -> None:
        """Writes `data`, or gives up where a stalled terminal takes nothing: nobody could end us otherwise."""
        view = memoryview(data)
        while view and select.select([], [self._out], [], _STALLED_S)[1]:
            with contextlib.suppress(BlockingIOError):
                view = view[os.write(self._out, view) :]

    def _read(self) -> list[str]:
        try:
            data = os.read(self._fd, 4096)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            raise EOFError
        return keys_of(data.decode("utf-8", "ignore"))

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signals.append(number)
        self.wake()


def _opened_again(fd: int) -> int:
    """The terminal behind `fd`, in a description of its own that does not block; else the same one again."""
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return os.dup(fd)


def keys_of(text: str) -> list[str]:
    """The names of the keys behind what a terminal sent: characters are themselves, unknown sequences nothing."""
    keys: list[str] = []
    while text:
        if text[0] != "\x1b":
            keys.append(_NAMES.get(text[0], text[0]))
            text = text[1:]
            continue
        length = _length_of_sequence(text)
        keys.append("escape" if length == 1 else _SEQUENCES.get(text[1:length], ""))
        text = text[length:]
    return [key for key in keys if key]


def _length_of_sequence(text: str) -> int:
    """How much of `text`, which begins with ESC, is one key."""
    if len(text) > 2 and text[1] == "O":
        return 3
    if len(text) < 3 or text[1] != "[":
        return 1
    for index, char in enumerate(text[2:], 2):
        if "@" <= char <= "~":
            return index + 1
    return len(text)
