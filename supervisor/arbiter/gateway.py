"""The gateway: started if HTTP is wanted, watched, and started again whenever it ends. The daemon goes on without it.

It is another program, not a fork of this one: between the fork and the exec nothing of it is imported here. Its sockets
are ours, bound once and inherited by each gateway, so that who connects while there is none waits.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import msgspec
from loguru import logger

from supervisor import tokens
from supervisor.arbiter import spawn
from supervisor.arbiter.handover import HANDOVER_VARIABLE, LeftChild, LeftGateway
from supervisor.arbiter.http_sockets import HttpSockets
from supervisor.arbiter.loop import Loop
from supervisor.arbiter.reap import Child, Exit, reap
from supervisor.arbiter.slot import GATEWAY_PLACE
from supervisor.arbiter.successor import program
from supervisor.child import MARK_VARIABLE, GatewayOrders
from supervisor.config import Settings
from supervisor.core.errors import SettingsError, SupervisorError
from supervisor.core.fleet import BEATS_A_PERIOD, after_gateway_death, overslept, silence_s
from supervisor.scoreboard import Scoreboard, Slot
from supervisor.wire.tree import Gateway as Seen

ROLE: Final = "gateway"
MODULE: Final = "supervisor.gateway"
_LEAVE_S: Final = 2.0
"""So long a gateway may take to end when it is told."""
_FORK_AGAIN_S: Final = 1.0


class Gateway:
    """Its life through all its incarnations; `changed` is called whenever what is `seen` of it is another."""

    def __init__(
        self,
        loop: Loop,
        settings: Callable[[], Settings],
        state_dir: str,
        control: str,
        lock_fd: int,
        scoreboard: Scoreboard,
        changed: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._settings = settings
        self._state_dir = state_dir
        self._control = control
        self._lock_fd = lock_fd
        self._board = scoreboard
        # A scoreboard of an older program has no place for it.
        self._has_place = len(scoreboard) > GATEWAY_PLACE
        self._slot = scoreboard.slot(GATEWAY_PLACE) if self._has_place else Slot.of_nobody()
        self._changed = changed
        self._sockets: HttpSockets | None = None
        self._child: Child | None = None
        self._started_at_s = 0.0
        self._due_s = 0.0
        self._fresh_since_s = 0.0
        self._starts = 0
        self._streak = 0
        self._renewing = False
        self._note = ""
        self._known: tuple[object, ...] | None = None

    def open(self) -> None:
        """Binds its sockets, if HTTP is wanted. Raises SupervisorError: then the daemon does not start."""
        if self._settings().http.listen is not None and self._sockets is None:
            self._tokens()
            self._sockets = HttpSockets(self._settings(), self._control)

    def start(self) -> None:
        """Starts one, and watches over it."""
        if self._sockets is None:
            return
        self._fresh_since_s = self._loop.now_s()
        self._known = _told(self._settings())
        if self._child is None:
            self._start()
        self._watch()

    def adopt(self, left: LeftGateway | None) -> None:
        """Takes over the sockets of the program before this one, and its gateway until that has ended."""
        if left is None:
            return
        self._sockets = HttpSockets(self._settings(), self._control, left)
        self._starts = left.starts
        if left.child is not None:
            self._take(Child(left.child.pid, left.child.pidfd))
            self.renew()

    def leave(self) -> LeftGateway | None:
        """What a successor of this program must know."""
        if self._sockets is None:
            return None
        tcp, unix = self._sockets.fds
        return LeftGateway(
            child=None if self._child is None else LeftChild(self._child.pid, self._child.pidfd),
            tcp=tcp,
            unix=unix,
            path=self._sockets.unix.path,
            identity=self._sockets.unix.identity,
            starts=self._starts,
        )

    def renew(self) -> None:
        """Another one in the place of the present one, at once: with other settings, or other code."""
        if self._child is not None:
            self._renewing = True
            self._child.send(signal.SIGTERM)
            self._kill_later(self._child)

    def configure(self) -> None:
        """There are new settings: the gateway is renewed if they are others to it."""
        now = _told(self._settings())
        if self._known is not None and now != self._known:
            self._known = now
            self.renew()

    def pids(self) -> set[int]:
        """Of the present one, until it is reaped."""
        return set() if self._child is None else {self._child.pid}

    def seen(self) -> Seen | None:
        """What the broker is told; None where HTTP is off."""
        if self._sockets is None:
            return None
        return Seen(
            url=self._sockets.url,
            socket=self._sockets.unix.path,
            state="backoff" if self._child is None else "running",
            pid=None if self._child is None else self._child.pid,
            restarts=max(0, self._starts - 1),
            note=self._note,
        )

    def end(self) -> None:
        """Ends it for good, at the end of the daemon: waits for it, and takes away the file of its socket."""
        child, self._child = self._child, None
        if child is not None:
            self._loop.unwatch(child.pidfd)
            for number in (signal.SIGTERM, signal.SIGKILL):
                child.send(number)
                gone = select.poll()
                gone.register(child.pidfd, select.POLLIN)
                if gone.poll(_LEAVE_S * 1000) and reap(child) is not None:
                    break
            child.close()
        if self._sockets is not None:
            self._sockets.unix.unlink()

    def _tokens(self) -> None:
        try:
            tokens.read_or_make(self._state_dir)
        except OSError as error:
            raise SettingsError(f"the tokens of HTTP cannot be made in {self._state_dir}: {error.strerror}") from error

    def _start(self) -> None:
        if self._child is not None or self._sockets is None:
            return
        self._slot.reset()
        try:
            self._tokens()
            orders = _as_file(self._orders(self._sockets))
            try:
                fds = (*self._sockets.fds, self._board.fd, self._lock_fd, orders)
                environment = _environment()
                main = partial(_become, (*program(), "-m", MODULE), environment, orders, fds)
                child = spawn.spawn(spawn.Birth(ROLE, main, fds, self._slot, self._settings().log))
            finally:
                os.close(orders)
        except (OSError, SupervisorError) as error:
            self._note = f"it cannot be started: {error}"
            logger.error("the gateway cannot be started ({}): trying again", error)
            self._loop.later(_FORK_AGAIN_S, self._start)
            return
        self._starts += 1
        self._take(child)
        self._changed()

    def _take(self, child: Child) -> None:
        self._child = child
        self._started_at_s = self._loop.now_s()
        self._loop.watch(child.pidfd, partial(self._look, child))

    def _orders(self, sockets: HttpSockets) -> GatewayOrders:
        return GatewayOrders(
            settings=self._settings(),
            state_dir=self._state_dir,
            socket=self._control,
            listeners=sockets.fds,
            scoreboard=self._board.fd if self._has_place else None,
            place=GATEWAY_PLACE,
            parent=os.getpid(),
        )

    def _look(self, child: Child) -> None:
        ended = reap(child)
        if ended is None:
            return
        self._loop.unwatch(child.pidfd)
        child.close()
        self._child = None
        self._ended(ended)
        self._changed()

    def _ended(self, ended: Exit) -> None:
        if self._renewing:
            self._renewing, self._streak, self._note = False, 0, ""
            self._start()
            return
        self._note = " ".join(word for word in (ended.cause, self._slot.last_words) if word)
        self._streak, delay_s = after_gateway_death(self._streak, self._loop.now_s() - self._started_at_s)
        logger.warning("the gateway {}: the next one starts in {:g} s", self._note, delay_s)
        self._loop.later(delay_s, self._start)

    def _kill_later(self, child: Child) -> None:
        self._loop.later(_LEAVE_S, lambda: child.send(signal.SIGKILL) if self._child is child else None)

    def _watch(self) -> None:
        """One that is silent for too long is hung, and replaced."""
        now_s, timeout_s = self._loop.now_s(), self._settings().hang_timeout_s
        interval_s = timeout_s / BEATS_A_PERIOD
        if self._due_s and overslept(now_s, self._due_s, interval_s):
            self._fresh_since_s = now_s
        beat_s = self._slot.beat_ns / 1e9
        since_s = max(self._started_at_s, self._fresh_since_s)
        if self._child is not None and self._has_place and silence_s(now_s, beat_s, since_s) > timeout_s:
            logger.error("the gateway is hung, and killed")
            self._slot.say("hung")
            self._child.send(signal.SIGKILL)
        self._due_s = now_s + interval_s
        self._loop.later(interval_s, self._watch)


def _told(settings: Settings) -> tuple[object, ...]:
    """What of the settings a gateway has a copy of."""
    return settings.http, settings.webhooks, settings.log, settings.hang_timeout_s


def _as_file(orders: GatewayOrders) -> int:
    """A nameless file that holds them: they name the secrets of webhooks, and are no business of `ps`."""
    fd = os.memfd_create("worker-supervisor: orders", os.MFD_CLOEXEC)
    text = memoryview(msgspec.json.encode(orders))
    while text:
        text = text[os.write(fd, text) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _environment() -> dict[str, str]:
    ours = {MARK_VARIABLE, HANDOVER_VARIABLE}
    return {name: value for name, value in os.environ.items() if name not in ours}


def _become(command: tuple[str, ...], environment: Mapping[str, str], orders: int, fds: tuple[int, ...]) -> int:
    """The child's life between fork and exec. Its death with its parent lives through the exec."""
    os.dup2(orders, 0)
    for fd in fds:
        if fd != orders:
            os.set_inheritable(fd, True)
    os.execve(command[0], list(command), environment)
