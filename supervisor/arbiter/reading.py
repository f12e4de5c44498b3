"""Reading the settings again, in a child: whatever the file is (a pipe, a dead mount, nonsense), the arbiter goes on.

The child does what a start does, and writes the checked settings to a pipe; its last words say why not. One at a time:
who asks meanwhile is answered by the next reading, since the file may have changed.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec
from loguru import logger

from supervisor import log
from supervisor.arbiter import spawn
from supervisor.arbiter.loop import Loop
from supervisor.arbiter.reap import Child, reap
from supervisor.config import LogSettings, Settings
from supervisor.scoreboard import Slot

READ_S: Final = 5.0
_READ_BYTES: Final = 64 << 10
LARGEST_BYTES: Final = 1 << 20
"""Of all settings as JSON: they must fit into one line to the broker."""

Then = Callable[[Settings | str], None]


class Reading:
    """`reread` gives the settings as a start of the daemon would find them now, or raises SettingsError."""

    def __init__(self, loop: Loop, reread: Callable[[], Settings], scoreboard: Slot) -> None:
        self._loop = loop
        self._reread = reread
        self._scoreboard = scoreboard
        self._child: Child | None = None
        self._pipe = -1
        self._text = bytearray()
        self._late = False
        self._now: list[Then] = []
        self._next: list[Then] = []

    @property
    def pids(self) -> set[int]:
        """Of the child that reads, if there is one."""
        return set() if self._child is None else {self._child.pid}

    def read(self, then: Then, log_settings: LogSettings) -> None:
        """Calls `then` with the settings, or with a sentence that says why there are none."""
        self._next.append(then)
        if self._child is None:
            self._begin(log_settings)

    def _begin(self, log_settings: LogSettings) -> None:
        self._now, self._next = self._next, []
        self._text.clear()
        self._late = False
        self._scoreboard.reset()
        try:
            self._pipe, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            self._tell(f"the settings cannot be read now: {error.strerror}")
            return
        try:
            self._child = spawn.spawn(
                spawn.Birth(
                    role="reader",
                    main=partial(_write_settings, theirs, self._reread),
                    fds=(theirs,),
                    scoreboard=self._scoreboard,
                    log=log_settings,
                )
            )
        except OSError as error:
            os.close(self._pipe)
            self._tell(f"the settings cannot be read now: {error.strerror}")
            return
        finally:
            os.close(theirs)
        child = self._child
        self._loop.watch(self._pipe, self._take)
        self._loop.watch(child.pidfd, partial(self._look, child, log_settings))
        self._loop.later(READ_S, partial(self._give_up, child))

    def _take(self) -> None:
        try:
            while piece := os.read(self._pipe, _READ_BYTES):
                self._text += piece
                if len(self._text) > LARGEST_BYTES and self._child is not None:
                    self._child.send(signal.SIGKILL)
                    break
        except BlockingIOError:
            return
        self._loop.unwatch(self._pipe)

    def _give_up(self, child: Child) -> None:
        if self._child is child:
            self._late = True
            child.send(signal.SIGKILL)

    def _look(self, child: Child, log_settings: LogSettings) -> None:
        ended = reap(child)
        if ended is None:
            return
        self._take()
        self._loop.unwatch(self._pipe)
        os.close(self._pipe)
        self._loop.unwatch(child.pidfd)
        child.close()
        self._child = None
        self._tell(self._result(ended.code, ended.cause))
        if self._next and self._child is None:
            self._begin(log_settings)

    def _result(self, code: int | None, cause: str) -> Settings | str:
        if len(self._text) > LARGEST_BYTES:
            return f"the settings have more than {LARGEST_BYTES >> 20} MiB"
        if self._late:
            return f"reading the settings took longer than {READ_S:g} s: is the file one that can be read to its end?"
        if code != 0:
            return self._scoreboard.last_words or f"the process that read the settings {cause}"
        try:
            return msgspec.json.decode(self._text, type=Settings)
        except msgspec.DecodeError as error:
            return f"the settings that were read make no sense: {error}"

    def _tell(self, result: Settings | str) -> None:
        told, self._now = self._now, []
        for then in told:
            then(result)


def _write_settings(fd: int, reread: Callable[[], Settings]) -> int:
    """The reader's life. A log file is opened here first: that may fail, or never end."""
    os.set_blocking(fd, True)
    settings = reread()
    log.configure("reader", settings.log)
    logger.debug("the settings are as they must be")
    text = memoryview(msgspec.json.encode(settings))
    while text:
        text = text[os.write(fd, text) :]
    return 0
