"""One connection to the broker: connect, hello, a line out, lines in. It knows no operation but `hello`.

A connection that broke raises `Lost` and is of no more use; whether to repeat is the caller's decision. An answer
that does not come in time raises NoDaemon: the other side is alive and silent, so repeating would not help.
"""

from __future__ import annotations

import json
import socket
import time

from ctl.errors import NoDaemon, WorkerctlError, error_of, invalid
from supervisor import __version__
from supervisor.core.names import PROTOCOL
from supervisor.wire.frame import MAX_ANSWER, MAX_LINE, READ_SIZE, FrameTooLarge, LineBuffer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

ANSWER_S = 10.0
SENT_AT_ONCE_BYTES = 64 << 10
_to_text = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class Lost(Exception):
    """The connection ended: what was sent last may have been done or not."""


class Connection:
    """A connection whose `hello` was answered. Raises OSError where nobody listens."""

    def __init__(self, path: str, answer_s: float = ANSWER_S) -> None:
        self.path = path
        self.answer_s = answer_s
        self._buffer = LineBuffer(max_line=MAX_ANSWER)
        self._answers: list[dict[str, Any]] = []
        self._last_id = 0
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.settimeout(answer_s)
            self._socket.connect(path)
            self.ask("hello", {"protocol": [PROTOCOL, PROTOCOL], "client": f"workerctl/{__version__}"})
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Ends the connection; the broker drops whatever still streams on it."""
        self._socket.close()

    def ask(self, op: str, fields: dict[str, Any], answer_s: float | None = None) -> Any:
        """The value of the answer to one request; raises the error it is answered with."""
        number = self.send(op, fields)
        deadline = time.monotonic() + (self.answer_s if answer_s is None else answer_s)
        while True:
            answer = self.receive(deadline)
            if answer.get("id") in (number, None):
                return value_of(answer)

    def send(self, op: str, fields: dict[str, Any] | bytes) -> int:
        """Sends one request; returns its number, which its answers carry. `fields` may be written as JSON already."""
        number = self.send_soon(op, fields)
        self._send()
        return number

    def send_soon(self, op: str, fields: dict[str, Any] | bytes) -> int:
        """The same, sent with others before anything is waited for."""
        self._last_id += 1
        if isinstance(fields, bytes):
            line = b'{"op":"%s","id":%d,%s\n' % (op.encode(), self._last_id, fields.removeprefix(b"{"))
        else:
            line = encode({"op": op, "id": self._last_id, **fields})
        self._unsent.append(line)
        self._unsent_bytes += len(line)
        if self._unsent_bytes >= SENT_AT_ONCE_BYTES:
            self._send()
        return self._last_id

    def receive(self, deadline: float | None = None) -> dict[str, Any]:
        """The next answer, whole. `deadline` is monotonic; None waits until the connection ends."""
        while not self._answers:
            self._send()
            data = self._read(deadline)
            if not data:
                raise Lost("the daemon closed the connection")
            self._take(data)
        return self._answers.pop(0)

    def _send(self) -> None:
        if not self._unsent:
            return
        lines, self._unsent, self._unsent_bytes = b"".join(self._unsent), [], 0
        try:
            self._socket.settimeout(self.answer_s)
            self._socket.sendall(lines)
        except TimeoutError:
            raise self._silent() from None
        except OSError as error:
            self._read_last_words(error)

    def _read(self, deadline: float | None) -> bytes:
        timeout_s = None if deadline is None else deadline - time.monotonic()
        if timeout_s is not None and timeout_s <= 0:
            raise self._silent()
        try:
            self._socket.settimeout(timeout_s)
            return self._socket.recv(READ_SIZE)
        except TimeoutError:
            raise self._silent() from None
        except OSError as error:
            raise Lost(str(error)) from error

    def _take(self, data: bytes) -> None:
        try:
            for line in self._buffer.feed(data):
                answer = json.loads(line)
                if not isinstance(answer, dict) or "re" not in answer:
                    raise ValueError
                self._answers.append(answer)
        except (ValueError, FrameTooLarge, RecursionError):
            raise NoDaemon("no_daemon", f"what answers on {self.path} does not speak workerctl's protocol") from None

    def _read_last_words(self, error: OSError) -> None:
        """A broker that refuses a connection says why before it closes it: that is worth more than a broken pipe."""
        try:
            while data := self._read(time.monotonic() + 1.0):
                self._take(data)
        except (Lost, WorkerctlError):
            pass
        if not self._answers:
            raise Lost(str(error)) from error

    def _silent(self) -> NoDaemon:
        return NoDaemon(
            "no_daemon",
            f"the broker does not answer: nothing came from {self.path} within {self.answer_s:g} s\n"
            "it may be overloaded, stopped or waiting for its disk, and may still do what was asked; its log says more",
        )


def value_of(answer: dict[str, Any]) -> Any:
    """The value of an `ok`, `item` or `end` answer; raises the exception of an `error` answer."""
    if answer["re"] == "error":
        raise error_of(str(answer.get("code")), str(answer.get("message")), answer.get("data"))
    return answer.get("value")


def encode(request: dict[str, Any]) -> bytes:
    """`request` as one line; raises InvalidRequest if it is no valid UTF-8 or longer than a line may be."""
    line = json_of(request) + b"\n"
    if len(line) > MAX_LINE:
        raise error_of(
            "frame_too_large",
            f"the request is {len(line)} bytes long, at most {MAX_LINE} can be sent: shorten its arguments and "
            "environment, or give the data as a file (--file, --stdin)",
        )
    return line


def json_of(value: Any) -> bytes:
    """`value` as JSON; raises InvalidRequest if it is none, or no valid UTF-8."""
    try:
        return _to_text(value).encode()
    except UnicodeEncodeError as error:
        part = error.object[max(0, error.start - 20) : error.end + 20]
        raise invalid(f"only valid UTF-8 can be sent, and this is none: …{part!r}…") from None
    except (TypeError, ValueError) as error:
        raise invalid(f"the request cannot be written as JSON: {error}") from None


def connect(sockets: Sequence[str], answer_s: float = ANSWER_S) -> Connection:
    """A connection to the first of `sockets` that somebody listens on.

    Raises NoDaemon naming all of them and why, NotAllowed if one may not be used, Lost if its backlog is full.
    """
    failures: list[tuple[str, OSError]] = []
    for path in sockets:
        try:
            return Connection(path, answer_s)
        except BlockingIOError as error:
            raise Lost(f"too many clients wait on {path}") from error
        except OSError as error:
            failures.append((path, error))
    tried = ", ".join(f"{path} ({_why(error)})" for path, error in failures) or "no socket at all"
    if any(isinstance(error, PermissionError) for _, error in failures):
        raise error_of(
            "permission_denied",
            f"you may not use the daemon's socket: {tried}\nask for its group, or start your own `worker-supervisor`",
        )
    raise NoDaemon(
        "no_daemon",
        f"no daemon is running; tried {tried}\n"
        "start one with `worker-supervisor`, or name its socket with --socket PATH or WORKER_SOCKET",
        {"sockets": [path for path, _ in failures]},
    )


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
