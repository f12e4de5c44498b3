"""Going over to new code in place: the new code is tried first, beside us; only if it is fit do we become it.

Up to the exec nothing has changed, and whatever fails before it leaves the daemon as it was. After the exec this
module's work is done: the successor answers the request and replaces the children. Never blocks the loop.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

from loguru import logger

from supervisor import __version__
from supervisor.arbiter import handover, spawn
from supervisor.arbiter.handover import Handover
from supervisor.arbiter.loop import Loop, Timer
from supervisor.arbiter.reap import Child, Exit, reap
from supervisor.arbiter.successor import Commands
from supervisor.config import LogSettings
from supervisor.scoreboard import Slot
from supervisor.wire import tree
from supervisor.wire.frame import READ_SIZE
from supervisor.wire.tree import Done, Upgrading

PREFLIGHT_S: Final = 300.0
"""So long the check may take: it may have to copy a large database."""
_WORDS_BYTES: Final = 4096
_LINES_SHOWN: Final = 2
_LINE_LETTERS: Final = 500
_AGAIN_S: Final = 0.05


class Refusal(NamedTuple):
    """Why there can be no upgrade now. Without a code: there can be one in a moment."""

    code: str
    message: str


class Upgrade:
    """One at a time. `refusal` says why there can be none now; `leave` makes the handover of this moment;
    `environment` is what the successor gets besides our own."""

    def __init__(
        self,
        loop: Loop,
        log: Callable[[], LogSettings],
        commands: Callable[[str | None], Commands],
        environment: Mapping[str, str],
        refusal: Callable[[], Refusal | None],
        leave: Callable[[int], Handover],
        answer: Callable[[Done], None],
        changed: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._log = log
        self._commands = commands
        self._environment = environment
        self._refusal = refusal
        self._leave = leave
        self._answer = answer
        self._changed = changed
        self._trial: _Trial | None = None
        self._under_way = False

    def state(self) -> Upgrading | None:
        """Whether new code is being tried just now."""
        return Upgrading(state="checking", before=__version__) if self._under_way else None

    def pids(self) -> set[int]:
        """Of the check that was not yet reaped."""
        return set() if self._trial is None else {self._trial.child.pid}

    def ask(self, request: tree.Upgrade) -> None:
        """Begins; the answer comes later, from here or from the successor."""
        refusal = self._refusal()
        if refusal is not None and refusal.code:
            self._answer(_not_done(request.request, *refusal))
        elif self._under_way:
            sentence = "an upgrade is under way already: its code is being checked"
            self._answer(_not_done(request.request, "wrong_state", sentence))
        else:
            self._under_way = True
            self._try(request.request, self._commands(request.python))
            self._changed()

    def _try(self, request: int, commands: Commands) -> None:
        try:
            # Decoding it is a part of the check.
            rehearsed = handover.write(self._leave(request))
            try:
                self._trial = _Trial(
                    self._loop,
                    self._log(),
                    commands.preflight,
                    rehearsed,
                    partial(self._tried, request, commands.serve),
                )
            finally:
                os.close(rehearsed)
        except OSError as error:
            self._give_up(request, "internal", f"the new code cannot be checked: {error.strerror}; nothing was changed")
            return
        logger.info("upgrade: checking the new code with {}", " ".join(commands.preflight))

    def _tried(self, request: int, serve: Sequence[str], ended: Exit, words: str) -> None:
        self._trial = None
        if ended.code != 0:
            logger.warning("upgrade: the new code is not fit ({}):\n{}", ended.cause, words)
            last = "\n".join(line[:_LINE_LETTERS] for line in words.splitlines()[-_LINES_SHOWN:])
            self._give_up(
                request,
                "preflight_failed",
                f"the new code is not fit to take over, nothing was changed; its check {ended.cause}:\n{last}".strip(),
                words,
            )
        else:
            logger.info("upgrade: {}", (words.splitlines() or ["the new code is fit"])[-1])
            self._become(request, serve)

    def _become(self, request: int, serve: Sequence[str]) -> None:
        refusal = self._refusal()
        if refusal is not None and refusal.code:
            self._give_up(request, *refusal)
            return
        if refusal is not None:
            self._loop.later(_AGAIN_S, partial(self._become, request, serve))
            return
        try:
            handover.become(serve, {**os.environ, **self._environment}, self._leave(request))
        except OSError as error:
            logger.error("upgrade: {} cannot be executed: {}", serve[0], error.strerror)
            self._give_up(
                request,
                "preflight_failed",
                f"{serve[0]} was fit and now cannot be executed ({error.strerror}): nothing was changed",
            )

    def _give_up(self, request: int, code: str, message: str, output: str = "") -> None:
        self._under_way = False
        self._answer(_not_done(request, code, message, output))
        self._changed()


def _not_done(request: int, code: str, message: str, output: str = "") -> Done:
    return Done(request=request, ok=False, code=code, message=message, data={"output": output} if output else {})


class _Trial:
    """The child that checks the new code: what it says is kept, its end and the last of its words are told."""

    def __init__(
        self,
        loop: Loop,
        log: LogSettings,
        command: Sequence[str],
        rehearsed: int,
        over: Callable[[Exit, str], None],
    ) -> None:
        self._loop = loop
        self._over = over
        self._words = b""
        self._late = False
        self._pipe, theirs = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._pipe, False)
        try:
            self.child = _start(command, theirs, rehearsed, log)
        except OSError:
            os.close(self._pipe)
            raise
        finally:
            os.close(theirs)
        loop.watch(self._pipe, self._listen)
        loop.watch(self.child.pidfd, self._look)
        self._deadline: Timer = loop.later(PREFLIGHT_S, self._give_up)

    def _listen(self) -> None:
        self._hear()

    def _hear(self) -> bool:
        """Whether there may be more."""
        try:
            data = os.read(self._pipe, READ_SIZE)
        except BlockingIOError:
            return False
        if not data:
            self._loop.unwatch(self._pipe)
            return False
        self._words = (self._words + data)[-_WORDS_BYTES:]
        return True

    def _give_up(self) -> None:
        self._late = True
        self.child.send(signal.SIGKILL)

    def _look(self) -> None:
        ended = reap(self.child)
        if ended is None:
            return
        self._deadline.cancel()
        while self._hear():
            pass
        self._loop.unwatch(self.child.pidfd)
        self._loop.unwatch(self._pipe)
        self.child.close()
        os.close(self._pipe)
        words = self._words.decode("utf-8", "replace").strip()
        if self._late:
            words = f"{words}\nit was not done after {PREFLIGHT_S:g} s".strip()
        self._over(ended, words)


def _start(command: Sequence[str], words: int, rehearsed: int, log: LogSettings) -> Child:
    main = partial(_execute, tuple(command), words, rehearsed)
    return spawn.spawn(spawn.Birth("preflight", main, (words, rehearsed), Slot.of_nobody(), log))


def _execute(command: Sequence[str], words: int, rehearsed: int) -> int:
    """The child's life: it becomes the new code. What it cannot be goes where its words would have gone."""
    os.dup2(words, 1)
    os.dup2(words, 2)
    os.set_inheritable(rehearsed, True)
    try:
        os.execve(command[0], list(command), {**os.environ, handover.HANDOVER_VARIABLE: str(rehearsed)})
    except OSError as error:
        os.write(2, f"{command[0]} cannot be executed: {error.strerror}\n".encode())
    return 127
