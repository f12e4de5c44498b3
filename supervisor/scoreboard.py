"""Shared memory between the arbiter and its children: one fixed slot each, made before the first fork.

Each field has one writer at a time: the child while it lives, the arbiter (`reset`) before it forks the next one.
A number is one aligned 8-byte store, so that a reader never sees half of it. It never holds a lock, and nothing of
it outlives the arbiter.
"""

from __future__ import annotations

import mmap
import time
from typing import Final

MAX_WORDS_BYTES: Final = 1000
_SLOT_BYTES: Final = 1024
_BEAT, _STARTED, _WORDS_LENGTH = range(3)
_WORDS_AT: Final = 24


class Slot:
    """One child's part of the scoreboard."""

    def __init__(self, view: memoryview) -> None:
        self._numbers = view[:_WORDS_AT].cast("Q")
        self._words = view[_WORDS_AT : _WORDS_AT + MAX_WORDS_BYTES]

    def beat(self) -> None:
        """Notes that the child's main loop turned just now."""
        self._numbers[_BEAT] = time.monotonic_ns()

    @property
    def beat_ns(self) -> int:
        """Monotonic nanoseconds of the last beat, 0 before the first."""
        return int(self._numbers[_BEAT])

    @property
    def started(self) -> int:
        """The last lease id for which a process was started, 0 for none. Set it before the process can run."""
        return int(self._numbers[_STARTED])

    @started.setter
    def started(self, lease: int) -> None:
        self._numbers[_STARTED] = lease

    def say(self, text: str) -> None:
        """Keeps `text`, at most 1000 bytes of it, as the reason for which this child is about to end."""
        words = _cut(text)
        self._words[: len(words)] = words
        self._numbers[_WORDS_LENGTH] = len(words)

    @property
    def last_words(self) -> str:
        """What the child said last, empty if it said nothing."""
        length = min(int(self._numbers[_WORDS_LENGTH]), MAX_WORDS_BYTES)
        return bytes(self._words[:length]).decode("utf-8", "replace")

    def reset(self) -> None:
        """Empties the slot for the next child. Only while no process writes to it."""
        for number in (_BEAT, _STARTED, _WORDS_LENGTH):
            self._numbers[number] = 0


class Scoreboard:
    """`size` slots in anonymous memory that every process forked from here on shares."""

    def __init__(self, size: int) -> None:
        self._memory = memoryview(mmap.mmap(-1, max(size, 1) * _SLOT_BYTES))
        self._size = size

    def __len__(self) -> int:
        return self._size

    def slot(self, index: int) -> Slot:
        """The slot of child number `index`; raises IndexError outside of 0 … size-1."""
        if not 0 <= index < self._size:
            raise IndexError(f"there are {self._size} slots, none has the number {index}")
        at = index * _SLOT_BYTES
        return Slot(self._memory[at : at + _SLOT_BYTES])


def _cut(text: str) -> bytes:
    words = text.encode("utf-8", "replace")
    if len(words) <= MAX_WORDS_BYTES:
        return words
    return words[:MAX_WORDS_BYTES].decode("utf-8", "ignore").encode()
