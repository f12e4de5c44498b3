"""The one broker: started, restarted, and given up when it cannot work. The workers live on meanwhile.

A start counts as failed when it never became ready, or died within a second of it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from loguru import logger

from supervisor.arbiter.broker_link import BrokerLink
from supervisor.arbiter.fleet import FORK_AGAIN_S, WorkerFleet
from supervisor.arbiter.force import dump_and_kill
from supervisor.arbiter.handover import LeftBroker, LeftChild
from supervisor.arbiter.loop import Loop
from supervisor.arbiter.reap import Child, Exit, reap
from supervisor.core.errors import EXIT_OK, EXIT_SCHEMA, EXIT_SETTINGS, EXIT_STORAGE
from supervisor.core.fleet import after_broker_death
from supervisor.scoreboard import Slot
from supervisor.wire.tree import (
    Acked,
    ArbiterRequest,
    Attached,
    BrokerMessage,
    Configure,
    Done,
    Exited,
    Pong,
    Ready,
    StopRequest,
    Vitals,
)

_READY_LIFE_S: Final = 1.0
RENEW_S: Final = 10.0
"""So long a broker may take to finish for its successor before it is killed: nothing durable is lost by that."""
_MEANINGFUL_EXITS: Final = (EXIT_SETTINGS, EXIT_STORAGE, EXIT_SCHEMA)


@dataclass(frozen=True)
class Hears:
    """What the rest of the arbiter does about the broker's news.

    `over(exit_status, sentence)`: there will be no broker any more; 0 and no sentence after it closed as it was told.
    """

    ready: Callable[[], None]
    acked: Callable[[], None]
    stop_requested: Callable[[], None]
    asked: Callable[[ArbiterRequest], None]
    pong: Callable[[], None]
    vitals: Callable[[Vitals], None]
    over: Callable[[int, str], None]


class Broker:
    """The broker's life through all its incarnations."""

    def __init__(
        self, loop: Loop, fleet: WorkerFleet, fork: Callable[[BrokerLink], Child], scoreboard: Slot, hears: Hears
    ) -> None:
        self.child: Child | None = None
        self.is_over = False
        self.scoreboard = scoreboard
        self.started_at_s = 0.0
        self._verdict = ""
        self._loop = loop
        self._fleet = fleet
        self._fork = fork
        self._hears = hears
        self._link: BrokerLink | None = None
        self._ready_at_s: float | None = None
        self._failed_starts = 0
        self._restarts_left: int | None = None
        self._closing = False
        self._renewing = False

    def start(self) -> None:
        """Forks one, and tells it the fleet and every exit that is not durable yet."""
        if self.is_over:
            return
        self._ready_at_s = None
        self._verdict = ""
        self.started_at_s = self._loop.now_s()
        self.scoreboard.reset()
        link: BrokerLink | None = None
        try:
            link = BrokerLink(self._loop, self._fleet.message, self._hear, self._kill_for_nonsense)
            self.child = self._fork(link)
        except OSError as error:
            if link is not None:
                link.dispose()
            logger.error("the broker cannot be forked ({}): trying again", error.strerror)
            self._loop.later(FORK_AGAIN_S, self.start)
            return
        self._link = link
        self._loop.watch(self.child.pidfd, self._look)
        link.begin()
        for exited in self._fleet.unacked.values():
            link.tell_exit(exited)
        if self._fleet.draining:
            link.drain()
        if self._closing:
            link.close_down()

    def adopt(self, left: LeftBroker) -> None:
        """Takes over the broker of the program before this one, instead of starting one."""
        self._ready_at_s, self._failed_starts = left.ready_at_s, left.failed_starts
        self.started_at_s, self._verdict = left.started_at_s, left.verdict
        self.child = Child(left.child.pid, left.child.pidfd)
        self._link = BrokerLink(self._loop, self._fleet.message, self._hear, self._kill_for_nonsense, left.link)
        self._loop.watch(self.child.pidfd, self._look)
        self._link.begin()
        for exited in self._fleet.unacked.values():
            self._link.tell_exit(exited)
        if self._verdict:
            self._force(self.child)

    def leave(self) -> LeftBroker | None:
        """What a successor of this program must know; None while there is no broker to take over."""
        if self.child is None or self._link is None or not self._link.is_open:
            return None
        return LeftBroker(
            child=LeftChild(self.child.pid, self.child.pidfd),
            link=self._link.leave(),
            started_at_s=self.started_at_s,
            ready_at_s=self._ready_at_s,
            failed_starts=self._failed_starts,
            verdict=self._verdict,
        )

    def renew(self) -> None:
        """Has the present broker finish and end; the next starts as soon as it is gone."""
        if self.child is None or self._link is None or self._closing:
            return
        self._renewing = True
        self._link.close_down()
        self._kill_later(self.child, RENEW_S)

    def is_child(self, pid: int) -> bool:
        """Whether the present broker has this pid."""
        return self.child is not None and self.child.pid == pid

    @property
    def is_dying(self) -> bool:
        """Whether the present one has hung up and is not reaped yet: until then the database is its own."""
        return self.child is not None and (self._link is None or not self._link.is_open)

    def _kill_later(self, child: Child, after_s: float) -> None:
        self._loop.later(after_s, lambda: child.send(signal.SIGKILL) if self.child is child else None)

    def fleet_changed(self) -> None:
        """Passes the newest fleet on."""
        if self._link is not None:
            self._link.fleet_changed()

    def tell_exit(self, exited: Exited) -> None:
        """Passes a worker's end on."""
        if self._link is not None:
            self._link.tell_exit(exited)

    def configure(self, settings: Configure) -> None:
        """Passes new settings on; a later broker is born with them."""
        if self._link is not None:
            self._link.configure(settings)

    def answer(self, done: Done) -> None:
        """Passes on what became of a request; lost with the broker that asked."""
        if self._link is not None:
            self._link.answer(done)

    def ping(self) -> None:
        """Has the broker prove that it is alive: `pong` follows."""
        if self._link is not None and self._ready_at_s is not None:
            self._link.ping()

    def condemn(self, verdict: str) -> None:
        """Ends it by force, with a traceback in the log; `verdict` becomes the cause of its death."""
        child = self.child
        if child is None or self._verdict:
            return
        self._verdict = verdict
        logger.error("the broker {}: it is killed", verdict)
        self._force(child)

    def _force(self, child: Child) -> None:
        dump_and_kill(self._loop, child, lambda: self.child is child)

    def drain(self) -> None:
        """No more leases; from now on a dead broker is restarted once, at once, only to record what is left."""
        self._restarts_left = 1
        if self._link is not None:
            self._link.drain()

    def close_down(self) -> None:
        """The broker is to finish and exit; `over` follows."""
        self._closing = True
        if self._link is not None:
            self._link.close_down()

    def kill(self) -> None:
        """SIGKILL for the broker of this moment."""
        if self.child is not None:
            self.child.send(signal.SIGKILL)

    def _hear(self, message: BrokerMessage) -> None:
        match message:
            case Ready():
                self._ready_at_s = self._loop.now_s()
                self._hears.ready()
            case Acked(incarnation=incarnation):
                self._fleet.acked(incarnation)
                self._hears.acked()
            case Attached(incarnation=incarnation):
                self._fleet.attached(incarnation)
            case Pong():
                self._hears.pong()
            case Vitals():
                self._hears.vitals(message)
            case StopRequest():
                self._hears.stop_requested()
            case _:
                self._hears.asked(message)

    def _kill_for_nonsense(self, what: str) -> None:
        logger.error("the broker said something that makes no sense ({}): it is killed and started again", what)
        self.kill()

    def _look(self) -> None:
        if self.child is None or (ended := reap(self.child)) is None:
            return
        self._loop.unwatch(self.child.pidfd)
        self.child.close()
        self.child = None
        link, self._link = self._link, None
        if link is not None:
            link.dispose()
        words = self.scoreboard.last_words
        self._come_back(ended, self._verdict or ended.cause + (f": {words}" if words else ""))

    def _come_back(self, ended: Exit, cause: str) -> None:
        if self._closing and ended.code == 0:
            self._end(0, "")
            return
        renewed, self._renewing = self._renewing, False
        if renewed and ended.code == 0:
            logger.info("the broker has made room for the next one")
            self.start()
            return
        failed = self._ready_at_s is None or self._loop.now_s() - self._ready_at_s < _READY_LIFE_S
        self._failed_starts = self._failed_starts + 1 if failed else 0
        delay_s = self._delay_s(ended)
        if delay_s is None:
            self._end(self._exit_status(ended), f"the broker {cause}")
            return
        logger.warning("the broker {}; the next starts in {:g} s, the workers go on", cause, delay_s)
        self._loop.later(delay_s, self.start)

    def _delay_s(self, ended: Exit) -> float | None:
        if self._closing or ended.code == EXIT_SCHEMA:
            return None
        if self._restarts_left is None:
            return after_broker_death(self._failed_starts)
        self._restarts_left -= 1
        return 0.0 if self._restarts_left >= 0 else None

    def _exit_status(self, ended: Exit) -> int:
        if ended.code is not None and ended.code in _MEANINGFUL_EXITS:
            return ended.code
        # Told to close, it had already made everything durable.
        return EXIT_OK if self._closing else EXIT_STORAGE

    def _end(self, exit_status: int, sentence: str) -> None:
        self.is_over = True
        self._hears.over(exit_status, sentence)
