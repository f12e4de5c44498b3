"""The job's own words: progress and result, as newline-delimited JSON over a socketpair.

Hostile: lines have a cap, values have caps, anything else is ignored. A job that floods it is read a bounded amount at
a time, and always read: one that wrote into a full channel would hang. Descriptors that a job sends along are never
accepted: nothing is heard of it from then on.
"""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator
from typing import Final

import msgspec

from supervisor.core.job import MAX_PROGRESS_BYTES, MAX_RESULT_BYTES, Progress
from supervisor.wire.frame import FrameTooLarge, LineBuffer

MAX_LINE: Final = MAX_RESULT_BYTES + 1024
READ_BUDGET: Final = 1 << 20
LONGEST_DROP_S: Final = 0.05


class _Say(msgspec.Struct, tag_field="type", tag="progress"):
    percentage: float | None = None
    stage: str | None = None
    message: str | None = None


class _Result(msgspec.Struct, tag_field="type", tag="result"):
    value: msgspec.Raw = msgspec.Raw(b"null")


_decoder: Final[msgspec.json.Decoder[_Say | _Result]] = msgspec.json.Decoder(_Say | _Result)


class Channel:
    """The worker's end. `progress` and `result` are the newest that the job said; `refused` says what was dropped."""

    def __init__(self) -> None:
        self._ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._ours.setblocking(False)
        signal.signal(signal.SIGALRM, _wake)
        self._lines = LineBuffer(MAX_LINE)
        self._open = True
        self._deaf = False
        self.progress: Progress | None = None
        self.result: msgspec.Raw | None = None
        self.refused: str | None = None

    def fileno(self) -> int:
        return self._ours.fileno()

    @property
    def open(self) -> bool:
        """Whether the job may still say something."""
        return self._open

    def hand_over(self) -> None:
        """Closes the job's end here, once the job has its own copy."""
        self.theirs.close()

    def receive(self) -> None:
        """Reads what is there."""
        budget = READ_BUDGET
        while self._open and budget > 0:
            try:
                with _dropping():
                    data, _, told, _ = self._ours.recvmsg(65536)
            except BlockingIOError:
                break
            except OSError:
                data, told = b"", 0
            if not data:
                self._open = False
                break
            budget -= len(data)
            if not self._deaf:
                self._take(data)
            if told & socket.MSG_CTRUNC:
                self.refused = "it sent descriptors over its channel; nothing after them was heard"
                self._open = False

    def close(self) -> None:
        """Gives up both ends."""
        with _dropping():
            self._ours.close()
        self.theirs.close()
        self._open = False

    def _take(self, data: bytes) -> None:
        try:
            for line in self._lines.feed(data):
                self._hear(line)
        except FrameTooLarge:
            self.refused = f"it said something longer than {MAX_RESULT_BYTES >> 10} KiB; nothing after it was heard"
            self._deaf = True

    def _hear(self, line: bytes) -> None:
        try:
            said = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if isinstance(said, _Result):
            if len(bytes(said.value)) <= MAX_RESULT_BYTES:
                self.result = said.value
            else:
                self.refused = f"its result is larger than {MAX_RESULT_BYTES >> 10} KiB and was not kept"
        elif len(line) <= MAX_PROGRESS_BYTES:
            self.progress = Progress(percentage=_percentage(said.percentage), stage=said.stage, message=said.message)


@contextlib.contextmanager
def _dropping() -> Iterator[None]:
    """HAZARD: the last holder of a socket closes it, and a job can make us the last of one that lingers (SO_LINGER): the
    kernel then waits in our name, for an hour if the job said so, until a signal comes."""
    signal.setitimer(signal.ITIMER_REAL, LONGEST_DROP_S, LONGEST_DROP_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _wake(number: int, frame: object) -> None:
    """Nothing to do: that a signal came is enough."""


def _percentage(value: float | None) -> float | None:
    return None if value is None else min(100.0, max(0.0, value))
