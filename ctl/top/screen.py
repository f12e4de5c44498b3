"""The live screen's loop: draws what there is, waits for a key, a signal or news, and does what was asked for."""

from __future__ import annotations

import signal

from ctl import exits
from ctl.top.picture import Picture
from ctl.top.source import Source, Tail
from ctl.top.terminal import Terminal
from ctl.top.view import FOLLOW, QUIT, View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctl.client import Client
    from ctl.console import Console
    from ctl.top.snapshot import Snapshot

_REDRAW_S = 1.0
"""Clocks of running jobs move on, whether there is news or not."""
_DEADLY = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def watch(client: Client, console: Console, first: Snapshot, interval_s: float) -> int:
    """Shows the screen until it is left; returns the exit code, or dies of the signal that ended it."""
    with Terminal() as terminal:
        ended_by = _Screen(client, console, first, interval_s, terminal).run()
    if ended_by in _DEADLY:
        signal.signal(ended_by, signal.SIG_DFL)
        signal.raise_signal(ended_by)
    return exits.INTERRUPTED if ended_by == signal.SIGINT else exits.OK


class _Screen:
    def __init__(
        self, client: Client, console: Console, first: Snapshot, interval_s: float, terminal: Terminal
    ) -> None:
        self._client = client
        self._terminal = terminal
        self._view = View()
        self._picture = Picture(colors=console.colors)
        self._source = Source(client, first, interval_s, terminal.wake)
        self._tails: dict[int, Tail] = {}
        self._ended_by = 0

    def run(self) -> int:
        """Until it is left; returns the signal that ended it, or 0."""
        self._source.start()
        while True:
            self._draw()
            try:
                keys = self._terminal.wait(_REDRAW_S)
            except EOFError:
                return signal.SIGHUP
            if self._signalled():
                return self._ended_by
            for key in keys:
                if self._press(key):
                    return 0

    def _signalled(self) -> bool:
        while self._terminal.signals:
            number = self._terminal.signals.pop(0)
            if number == signal.SIGTSTP:
                self._terminal.suspend()
            elif number != signal.SIGWINCH:
                self._ended_by = number
                return True
        return False

    def _press(self, key: str) -> bool:
        """Whether it says to leave."""
        self._source.said = ""
        wanted = self._view.press(key, self._source.snapshot.jobs)
        if wanted is None:
            return False
        verb, job = wanted
        if verb == QUIT:
            return True
        self._source.act(verb, job)
        return False

    def _draw(self) -> None:
        view, source = self._view, self._source
        if view.mode != FOLLOW:  # one that ended may be run again
            self._tails = {job: tail for job, tail in self._tails.items() if not tail.ended}
        if view.mode == FOLLOW and view.followed is not None and view.followed not in self._tails:
            self._tails[view.followed] = Tail(self._client, view.followed, self._terminal.wake)
        tail = self._tails.get(view.followed) if view.followed is not None else None
        width, height = self._terminal.size
        lines = self._picture.lines(view, source.snapshot, width, height, tail, source.trouble, source.said)
        self._terminal.draw(lines)
