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
    from collections.abc import Callable, Iterable, Iterator, Sequence
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


class _Places:
    """Requests by their places: those to come, and those that were sent and are not answered."""

    def __init__(self, requests: Iterable[dict[str, Any] | bytes | None]) -> None:
        self._requests = iter(requests)
        self._count = 0
        self._open: dict[int, dict[str, Any] | bytes] = {}
        self._again: list[int] = []
        self._ended = False

    def any(self) -> bool:
        """Whether there is or may be something to do."""
        return bool(self._open) or not self._ended

    def begin_again(self) -> None:
        """On a new connection: what was not answered is to be sent first."""
        self._again = sorted(self._open, reverse=True)

    def next(self) -> tuple[int, dict[str, Any] | bytes] | None:
        """The next one to send; None if there is none before something has been answered."""
        if self._again:
            place = self._again.pop()
            return place, self._open[place]
        if self._ended:
            return None
        try:
            request = next(self._requests)
        except StopIteration:
            self._ended = True
            return None
        if request is None:
            return None
        place = self._count
        self._count += 1
        self._open[place] = request
        return place, request

    def answered(self, place: int) -> None:
        """It is done."""
        del self._open[place]


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

    def call(
        self,
        op: str,
        fields: dict[str, Any],
        *,
        repeat: bool = True,
        insist: bool = True,
        answer_s: float | None = None,
    ) -> Any:
        """The value of one answer.

        `repeat`: the request may be sent again after a broken connection or a commit whose outcome is unknown;
        otherwise that raises `outcome_unknown`. `insist`: wait for a daemon that has gone to come back. `answer_s`:
        how long this answer may take, if not as long as any.
        """
        patience = _Patience(self._patience_s)
        repeated = False
        while True:
            try:
                connection = self._shared(patience, insist)
                return connection.ask(op, fields, answer_s)
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

    def call_each(
        self, op: str, requests: Iterable[dict[str, Any] | bytes | None], window: int = 64
    ) -> Iterator[tuple[int, Any]]:
        """Answers as they come: the request's place and its value, or the WorkerctlError that refuses it.

        Up to `window` requests are under way at once. All may be repeated. A None among them means that the next one
        is not known before what is under way has been answered.
        """
        patience = _Patience(self._patience_s)
        coming = _Places(requests)
        while coming.any():
            try:
                yield from self._exchange(op, coming, patience, window)
            except Lost as lost:
                self.close()
                patience.pause(_unknown(op, lost))
            except BaseException:
                self.close()
                raise

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

    def _exchange(self, op: str, coming: _Places, patience: _Patience, window: int) -> Iterator[tuple[int, Any]]:
        """One connection's share of `call_each`."""
        connection = self._shared(patience, insist=True)
        sent: dict[int, int] = {}
        coming.begin_again()
        while True:
            while len(sent) < window and (request := coming.next()) is not None:
                place, fields = request
                sent[connection.send_soon(op, fields)] = place
            if not sent:
                return
            answer = connection.receive(time.monotonic() + self._answer_s)
            if answer.get("id") is None:
                value_of(answer)
            answered = sent.pop(answer["id"], None)
            if answered is None:
                continue
            try:
                value = value_of(answer)
            except WorkerctlError as refusal:
                if refusal.code == "outcome_unknown":
                    raise Lost(refusal.message) from None
                value = refusal
            coming.answered(answered)
            patience.renew()
            yield answered, value

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


class Asking:
    """What asks over a session: the ground on which a client's groups of methods stand."""

    _session: Session

    def _ask(self, op: str, fields: dict[str, Any] | None = None) -> Any:
        return self._session.call(op, fields or {})


def _unknown(op: str, lost: Lost) -> DaemonFailed:
    return DaemonFailed(
        "outcome_unknown", f"the connection broke before `{op}` was answered ({lost}); it may have been done or not"
    )
