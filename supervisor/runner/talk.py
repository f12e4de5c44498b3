"""The runner's end of the conversation with its worker: one JSON object a datagram, with a job its two output files.

Invariant: one message is one datagram, so that a forked job may speak on the same socket.
"""

from __future__ import annotations

import array
import json
import mmap
import os
import resource
import socket
from typing import Any, Final

from supervisor.runner.performing import Answer

LARGEST: Final = 1 << 20
_MOST_FDS: Final = 4
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_encode_text: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Talk:
    """Blocking: a runner has nothing else to do than its job."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        # Of this as much becomes memory as is ever used. A new buffer for each job would cost more than a small job.
        self._heard = memoryview(mmap.mmap(-1, LARGEST))
        self._places = socket.CMSG_SPACE(_MOST_FDS * array.array("i").itemsize)
        self._own_memory = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)

    def hear(self) -> tuple[dict[str, Any] | None, list[int]]:
        """The next order with its descriptors; None when the worker is gone."""
        size, ancillary, _flags, _address = self._end.recvmsg_into([self._heard], self._places, socket.MSG_CMSG_CLOEXEC)
        fds = array.array("i")
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
        return (json.loads(bytes(self._heard[:size])) if size else None), list(fds)

    def tell(self, **said: Any) -> None:
        """Says one thing; that nobody listens any more is no matter: we are about to be ended."""
        self._send(_encode(said))

    def ready(self, types: list[str]) -> None:
        """The handler is set up, and names these types."""
        self.tell(re="ready", types=types, **self._used())

    def answer(self, lease: int, answer: Answer) -> None:
        """What came of a job, and what this process has used since its start."""
        said: dict[str, Any] = {"re": answer.re, "lease": lease, **self._used()}
        if answer.re == "raised":
            said["message"] = answer.message
        head = _encode(said)
        # The result is JSON already.
        self._send(head[:-1] + b',"result":' + answer.result + b"}" if answer.re == "done" else head)

    def _used(self) -> dict[str, Any]:
        own, below = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "cpu_s": own.ru_utime + own.ru_stime + below.ru_utime + below.ru_stime,
            "rss_bytes": self.rss_bytes(),
            "peak_bytes": max(own.ru_maxrss, below.ru_maxrss) << 10,
        }

    def rss_bytes(self) -> int:
        """What the process that made this object has in memory now."""
        return int(os.pread(self._own_memory, 128, 0).split()[1]) * _PAGE

    def _send(self, line: bytes) -> None:
        try:
            self._end.send(line, socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionResetError):
            return


def _encode(said: dict[str, Any]) -> bytes:
    # What cannot be encoded must not cost the job.
    return _encode_text(said).encode(errors="replace")
