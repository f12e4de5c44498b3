"""Requests that survive a broker restart: reconnect and repeat, with a limit to the patience.

Calls share one connection, each stream has its own, so that a client may act while it follows. Where nobody ever
listened, the error comes at once; where somebody did, the session tries again for about ten seconds.
It never repeats what the caller did not mark as harmless to repeat.
"""

from __future__ import annotations

import time

from ctl.connection import ANSWER_S, Connection, Lost, connect, value_of
from ctl.errors import DaemonFailed, NoDaemon, WorkerctlError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

PATIENCE_S = 10.0
_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 1.0
_SETTLED_S = 1.0
_BROKEN_OFF = frozenset({"lagged", "stopping"})
"""Error codes that end a stream but not what it watches."""


class _Patience:
    """How long a session has been without an answer; a pause that grows."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self.renew()

    def renew(self) -> None:
        self._since: float | None = None
        self._pause_s = _FIRST_PAUSE_S

    def pause(self, error: Exception) -> None:
        """Sleeps before the next try; raises `error` when the patience is at its end."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if now - self._since + self._pause_s > self._patience_s:
            raise error
        time.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)


class Session:
    """A way to the broker that outlives its connections. Not for use by several threads at once."""

    def __init__(self, sockets: Sequence[str], answer_s: float = ANSWER_S, patience_s: float = PATIENCE_S) -> None:
        self._sockets = tuple(sockets)
        self._answer_s = answer_s
        self._patience_s = patience_s
        self._connection: Connection | None = None
        self._ever_connected = False

    def close(self) -> None:
        """Closes the shared connection; the next call would open another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def call(self, op: str, fields: dict[str, Any], *, repeat: bool = True, insist: bool = True) -> Any:
        """The value of one answer.

        `repeat`: the request may be sent again after a broken connection or a commit whose outcome is unknown;
        otherwise that raises `outcome_unknown`. `insist`: wait for a daemon that has gone to come back.
        """
        patience = _Patience(self._patience_s)
        repeated = False
        while True:
            try:
                connection = self._shared(patience, insist)
                return connection.ask(op, fields)
            except Lost as lost:
                self.close()
                error: WorkerctlError = _unknown(op, lost)
                if not repeat:
                    raise error from None
            except WorkerctlError as refusal:
                refusal.repeated = repeated
                if not (repeat and refusal.code == "outcome_unknown"):
                    raise
                error = refusal
                self.close()
            except BaseException:
                self.close()
                raise
            repeated = True
            error.repeated = True
            patience.pause(error)

    def call_many(self, op: str, requests: Sequence[dict[str, Any]], window: int = 64) -> list[Any]:
        """The values of many answers, in the requests' order; a refused one's place holds its WorkerctlError.

        Up to `window` requests are under way at once. All may be repeated.
        """
        results: list[Any] = [None] * len(requests)
        waiting = list(range(len(requests)))
        patience = _Patience(self._patience_s)
        while waiting:
            try:
                self._exchange(op, requests, waiting, results, patience, window)
            except Lost as lost:
                self.close()
                patience.pause(_unknown(op, lost))
            except BaseException:
                self.close()
                raise
        return results

    def stream(self, op: str, position: Callable[[], dict[str, Any]]) -> Iterator[Any]:
        """The values of a stream's items until its end; `position()` gives the fields to begin or resume with.

        Waits without limit, but notices a connection that ended, and resumes.
        """
        patience = _Patience(self._patience_s)
        connection: Connection | None = None
        began = time.monotonic()
        try:
            while True:
                try:
                    connection = self._open(patience, insist=True)
                    began = time.monotonic()
                    connection.send(op, position())
                    while (answer := connection.receive())["re"] == "item":
                        patience.renew()
                        yield value_of(answer)
                    value_of(answer)
                    return
                except Lost as lost:
                    error: WorkerctlError = NoDaemon("no_daemon", f"the daemon has gone: {lost}")
                except WorkerctlError as refusal:
                    if refusal.code not in _BROKEN_OFF:
                        raise
                    error = refusal
                if connection is not None:
                    connection.close()
                if time.monotonic() - began > _SETTLED_S:
                    patience.renew()
                patience.pause(error)
        finally:
            if connection is not None:
                connection.close()

    def _exchange(
        self,
        op: str,
        requests: Sequence[dict[str, Any]],
        waiting: list[int],
        results: list[Any],
        patience: _Patience,
        window: int,
    ) -> None:
        """One connection's share of `call_many`: removes from `waiting` what was answered."""
        connection = self._shared(patience, insist=True)
        todo = iter(tuple(waiting))
        sent: dict[int, int] = {}
        while waiting:
            while len(sent) < window and (index := next(todo, None)) is not None:
                sent[connection.send(op, requests[index])] = index
            answer = connection.receive(time.monotonic() + self._answer_s)
            if answer.get("id") is None:
                value_of(answer)
            answered = sent.pop(answer["id"], None)
            if answered is None:
                continue
            try:
                results[answered] = value_of(answer)
            except WorkerctlError as refusal:
                if refusal.code == "outcome_unknown":
                    raise Lost(refusal.message) from None
                results[answered] = refusal
            waiting.remove(answered)
            patience.renew()

    def _shared(self, patience: _Patience, insist: bool) -> Connection:
        if self._connection is None:
            self._connection = self._open(patience, insist)
        return self._connection

    def _open(self, patience: _Patience, insist: bool) -> Connection:
        while True:
            try:
                connection = connect(self._sockets, self._answer_s)
            except Lost as lost:
                patience.pause(NoDaemon("no_daemon", f"the daemon does not take connections: {lost}"))
            except NoDaemon as error:
                if not (insist and self._ever_connected and "sockets" in error.data):
                    raise
                patience.pause(error)
            else:
                self._ever_connected = True
                return connection


def _unknown(op: str, lost: Lost) -> DaemonFailed:
    return DaemonFailed(
        "outcome_unknown", f"the connection broke before `{op}` was answered ({lost}); it may have been done or not"
    )
