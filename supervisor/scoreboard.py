"""Shared memory between the arbiter and its children: one fixed slot each, made before the first fork.

Each field has one writer at a time: the child while it lives, the arbiter (`reset`) before it forks the next one.
A number is one aligned 8-byte store, so that a reader never sees half of it. It never holds a lock.

It is a memfd whose size is fixed for good, because an arbiter that is replaced in place hands it on by its
descriptor: its head says how it is laid out, and who cannot read that layout refuses it.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time
from typing import Final, Self

MAX_WORDS_BYTES: Final = 984
LAYOUT: Final = 2
"""Number of the layout below. Another one means that the children of the other release cannot be read."""
_SLOT_BYTES: Final = 1024
_MAGIC: Final = b"WKCTSCOR"
_HEAD: Final = struct.Struct("=8sQQQ")
_BEAT, _STARTED, _WORDS_LENGTH, _CPU_US, _MEMORY_BYTES = range(5)
_WORDS_AT: Final = 40


class Slot:
    """One child's part of the scoreboard."""

    def __init__(self, view: memoryview) -> None:
        self._numbers = view[:_WORDS_AT].cast("Q")
        self._words = view[_WORDS_AT : _WORDS_AT + MAX_WORDS_BYTES]

    @classmethod
    def of_nobody(cls) -> Slot:
        """For a child to whose words nobody listens here."""
        return cls(memoryview(bytearray(_SLOT_BYTES)))

    def beat(self, ahead_s: float = 0.0) -> None:
        """Notes that the child's main loop turned just now.

        `ahead_s`: it is about to wait for a disk, and may be silent for so much longer.
        """
        self._numbers[_BEAT] = time.monotonic_ns() + int(ahead_s * 1e9)

    @property
    def beat_ns(self) -> int:
        """Monotonic nanoseconds of the last beat, 0 before the first; in the future while it waits for a disk."""
        return int(self._numbers[_BEAT])

    @property
    def started(self) -> int:
        """The last lease id for which a process was started, 0 for none. Set it before the process can run."""
        return int(self._numbers[_STARTED])

    @started.setter
    def started(self, lease: int) -> None:
        self._numbers[_STARTED] = lease

    def start(self, lease: int) -> None:
        """A process is about to be started for `lease`, which has used nothing yet."""
        self.use(0.0, 0)
        self.started = lease

    def use(self, cpu_s: float, memory_bytes: int) -> None:
        """What the attempt of the started lease has used and has now."""
        self._numbers[_CPU_US] = int(cpu_s * 1e6)
        self._numbers[_MEMORY_BYTES] = memory_bytes

    @property
    def used(self) -> tuple[float, int]:
        """Seconds of CPU and bytes of memory; 0 and 0 where nothing was measured yet."""
        return int(self._numbers[_CPU_US]) / 1e6, int(self._numbers[_MEMORY_BYTES])

    def say(self, text: str) -> None:
        """Keeps `text`, at most 984 bytes of it, as the reason for which this child is about to end."""
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
        for number in (_BEAT, _STARTED, _WORDS_LENGTH, _CPU_US, _MEMORY_BYTES):
            self._numbers[number] = 0


class Scoreboard:
    """`size` slots that every process forked from here on shares. `fd` is close-on-exec."""

    def __init__(self, size: int) -> None:
        self._map(_make(size), size)

    @classmethod
    def inherit(cls, fd: int) -> Self:
        """The scoreboard behind a descriptor that was handed on; raises ValueError when it cannot be read here."""
        board = cls.__new__(cls)
        board._map(fd, _check(fd))
        return board

    def _map(self, fd: int, size: int) -> None:
        self.fd = fd
        self._size = size
        self._memory = memoryview(mmap.mmap(fd, _bytes_of(size)))

    def __len__(self) -> int:
        return self._size

    def slot(self, index: int) -> Slot:
        """The slot of child number `index`; raises IndexError outside of 0 … size-1."""
        if not 0 <= index < self._size:
            raise IndexError(f"there are {self._size} slots, none has the number {index}")
        at = (1 + index) * _SLOT_BYTES
        return Slot(self._memory[at : at + _SLOT_BYTES])


def _bytes_of(size: int) -> int:
    return (1 + size) * _SLOT_BYTES


def _make(size: int) -> int:
    fd = os.memfd_create("worker-supervisor: scoreboard", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, _bytes_of(size))
    os.pwrite(fd, _HEAD.pack(_MAGIC, LAYOUT, _SLOT_BYTES, size), 0)
    # A memory that shrinks kills everyone who looks at it.
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return fd


def _check(fd: int) -> int:
    """The number of slots in it."""
    head = os.pread(fd, _HEAD.size, 0)
    if len(head) < _HEAD.size or head[: len(_MAGIC)] != _MAGIC:
        raise ValueError("this is no scoreboard")
    _, layout, slot_bytes, size = _HEAD.unpack(head)
    if (layout, slot_bytes) != (LAYOUT, _SLOT_BYTES):
        raise ValueError(f"the scoreboard has layout {layout} of {slot_bytes} bytes, this release knows {LAYOUT} only")
    if os.fstat(fd).st_size != _bytes_of(size):
        raise ValueError(f"the scoreboard says that it has {size} slots, and has another size")
    return int(size)


def _cut(text: str) -> bytes:
    words = text.encode("utf-8", "replace")
    if len(words) <= MAX_WORDS_BYTES:
        return words
    return words[:MAX_WORDS_BYTES].decode("utf-8", "ignore").encode()
