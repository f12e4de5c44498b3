"""A broker of a few lines for the command's tests: it speaks the real wire and keeps no job.

Every request is decoded by the daemon's own strict decoder, so that a client that drifts from the contract fails.
A test sets handlers by op; a handler returns the value, raises RequestError, or drives the connection itself.
"""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from supervisor.core.errors import RequestError
from supervisor.wire import codec
from supervisor.wire.frame import LineBuffer

ROOT = Path(__file__).resolve().parents[2]
DROP = object()
"""A handler returns it to close the connection without an answer."""
STREAMED = object()
"""A handler returns it when it has sent its answers itself."""

STATUS = {
    "version": "0.1.0",
    "pid": 4711,
    "uptime_s": 7500.0,
    "state": "running",
    "jobs": {"scheduled": 0, "queued": 3, "running": 1, "completed": 10, "failed": 2, "cancelled": 0},
    "workers": [
        {"name": "scripts/1", "pid": 4712, "pool": "scripts", "state": "busy", "job": 42},
        {"name": "scripts/2", "pid": 4713, "pool": "scripts", "state": "idle", "job": None},
    ],
    "isolation": {"level": "namespace"},
}


def job_json(number: int = 42, state: str = "completed", **changes: Any) -> dict[str, Any]:
    """The JSON of a job as the daemon gives it."""
    reason = {"completed": "ok", "failed": "exit", "cancelled": "cancelled"}.get(state)
    job: dict[str, Any] = {
        "id": number,
        "name": "file.js",
        "type": "node",
        "queue": "default",
        "priority": 0,
        "state": state,
        "reason": reason,
        "message": None,
        "exit_code": {"completed": 0, "failed": 1}.get(state),
        "signal": None,
        "attempt": 1,
        "retries": 0,
        "submitted_at": "2026-01-02T03:04:05.123456Z",
        "due_at": "2026-01-02T03:04:05.123456Z",
        "started_at": "2026-01-02T03:04:05.200000Z",
        "finished_at": "2026-01-02T03:04:06.200000Z" if reason else None,
        "waiting_for": [],
        "limits": {"wall_s": 600.0, "cpu_s": None, "memory_bytes": 536870912, "processes": 256},
        "progress": None,
        "result": None,
        "attempts": [],
    }
    return job | changes


class Peer:
    """One accepted connection and the request being answered."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.number: int | None = 0

    def item(self, value: Any) -> None:
        self._send(codec.Item(id=self.number, value=value))

    def end(self, cursor: int = 0) -> None:
        self._send(codec.End(id=self.number, cursor=cursor))

    def error(self, code: str, message: str, data: dict[str, Any] | None = None) -> None:
        self._send(codec.Error(id=self.number, code=code, message=message, data=data))

    def _send(self, answer: codec.Answer) -> None:
        self.sock.sendall(codec.encode(answer))


Handler = Callable[[Any, Peer], Any]


class FakeBroker:
    """Listens on `path` until `stop`. `requests` has every request but hello; `drift` what was no valid request."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.requests: list[Any] = []
        self.drift: list[str] = []
        self.spool: dict[str, bytes] = {}
        self.connections = 0
        self._handlers: dict[str, Handler] = {}
        self._peers: list[socket.socket] = []
        self.on("hello", lambda request, peer: {"protocol": 1, "server": "workerctl/0.1.0"})
        self.on("put", self._put)
        self.start()

    def start(self) -> None:
        """Begins to listen, as a restarted daemon does."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """Nobody listens any more, every connection is closed."""
        # Without the shutdown a thread inside accept() would keep the socket listening.
        _close(self._listener)
        if os.path.exists(self.path):
            os.unlink(self.path)
        for sock in self._peers:
            _close(sock)

    def on(self, op: str, handler: Handler) -> None:
        """`handler(request, peer)` answers `op` from now on."""
        self._handlers[op] = handler

    def answers(self, op: str, *values: Any) -> None:
        """Answers `op` with each of the values in turn, the last one for ever; an exception is an error answer."""
        rest = list(values)

        def handler(request: Any, peer: Peer) -> Any:
            value = rest.pop(0) if len(rest) > 1 else rest[0]
            if isinstance(value, Exception):
                raise value
            return value

        self.on(op, handler)

    def asked(self, op: str) -> list[Any]:
        """The requests of one op, oldest first."""
        return [request for request in self.requests if codec.OPS[op] is type(request)]

    def wait_for(self, op: str, count: int = 1) -> None:
        """Returns when so many requests of `op` have come."""
        wait_until(lambda: len(self.asked(op)) >= count)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            self._peers.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        peer, buffer = Peer(sock), LineBuffer()
        try:
            while data := sock.recv(65536):
                for line in buffer.feed(data):
                    if not self._answer(line, peer):
                        return
        except OSError:
            pass
        except Exception as error:
            self.drift.append(f"a handler failed: {error!r}")
        finally:
            _close(sock)

    def _answer(self, line: bytes, peer: Peer) -> bool:
        try:
            request = codec.decode_request(line)
        except RequestError as error:
            self.drift.append(f"{error}: {line[:300]!r}")
            peer.number = codec.request_id_of(line) or 0
            peer.error(error.code, error.message, error.data)
            return True
        op = str(type(request).__struct_config__.tag)
        peer.number = request.id
        if op != "hello":
            self.requests.append(request)
        try:
            value = self._handlers[op](request, peer)
        except RequestError as error:
            peer.error(error.code, error.message, error.data)
            return True
        if value is DROP:
            return False
        if value is not STREAMED:
            peer.sock.sendall(codec.encode(codec.Ok(id=request.id, value=value)))
        return True

    def _put(self, request: Any, peer: Peer) -> dict[str, Any]:
        have = self.spool.setdefault(request.sha256, b"")
        if request.offset == len(have):
            have += b64decode(request.data, validate=True)
            self.spool[request.sha256] = have
        complete = len(have) == request.size
        if complete and hashlib.sha256(have).hexdigest() != request.sha256:
            raise RequestError("bad_request", "the content is not what its sha256 says")
        return {"offset": len(have), "complete": complete}


def said(request: Any) -> dict[str, Any]:
    """What a request said, without its op and ids, and without what it left at its default."""
    whole: dict[str, Any] = _plain(request)
    for field in msgspec.structs.fields(request):
        default = field.default_factory() if callable(field.default_factory) else field.default
        known = default is not msgspec.NODEFAULT and whole[field.name] == _plain(default)
        if field.name in ("id", "request_id") or known:
            del whole[field.name]
    del whole["op"]
    return whole


def _plain(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def waits_for(*jobs: dict[str, Any]) -> Handler:
    """A handler of `wait` that has these jobs become final at once."""

    def handler(request: Any, peer: Peer) -> Any:
        for job in jobs:
            peer.item(job)
        peer.end()
        return STREAMED

    return handler


def wait_until(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Returns when `condition()` is true; fails after `timeout_s`."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "the condition never became true"
        time.sleep(0.005)


def _close(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    sock.close()
