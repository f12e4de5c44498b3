"""The handler's runner, as its worker sees it: started, asked for jobs, rested, replaced. One at a time.

```
preparing -Prepared-> booting -ready-> ready <-> working         booting -broken|ended-> broken (the worker ends)
ready -stop()-> leaving -Ended-> preparing (the next one)        working -Ended-> preparing
```
Invariant: what the keeper reports of the runner's end is told to the job that ran, and to no other. A runner that was
asked to end its job serves no other afterwards. Never decides how a job ended.
"""

from __future__ import annotations

import contextlib
import mmap
import selectors
import signal
import socket
import time
from typing import Final, Protocol

import msgspec
from loguru import logger

from supervisor.child import WorkerContext
from supervisor.sandbox import Ended, KeeperLost, LaunchFailed, Prepared, Slot, SlotClass, Use
from supervisor.worker.ending import in_words
from supervisor.worker.equipment import Equipment
from supervisor.worker.idle_output import IdleOutput
from supervisor.worker.launching import launch_runner
from supervisor.worker.quiet import Blanks
from supervisor.worker.said import LARGEST, Answered, Broken, Over, Ready, Said, decode
from supervisor.worker.wear import Wear

SIGN_OF_LIFE_S: Final = 0.2
"""While the end of the runner is awaited the worker's own loop stands still."""


class Gone(OSError):
    """The runner has died, and its keeper's report is on its way: the job has not begun."""


class Task(Protocol):
    """The job that a runner has."""

    def on_said(self, said: Said, now: float) -> None:
        """The runner said something about it."""

    def on_runner_end(self, event: Ended | KeeperLost, now: float) -> None:
        """The runner is over, and all of its tree."""


class Runner:
    """`broken` is set when the handler cannot be had: then this worker is of no use."""

    def __init__(self, context: WorkerContext, equipment: Equipment, selector: selectors.BaseSelector) -> None:
        self._context = context
        self._equipment = equipment
        self._selector = selector
        self._pool = context.pool
        self._slot: Slot | None = None
        self._talk: socket.socket | None = None
        self._task: Task | None = None
        self._state = "none"
        self._due: float | None = None
        self._killed = False
        self._watched = False
        self._is_news = False
        self._idle_output = IdleOutput()
        self._heard = memoryview(mmap.mmap(-1, LARGEST))  # of which as much becomes memory as is ever used
        self._wear = Wear(self._pool)
        self.blanks = Blanks(equipment.paths, equipment.output_owner)
        # A lease on a file is announced by this signal, and asked for only to see whether it is granted.
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        self.types: tuple[str, ...] = ()
        self.cpu_s = 0.0
        self.peak_bytes = 0
        self.broken: str | None = None

    # What the worker wants

    @property
    def ready(self) -> bool:
        """Whether it can be given a job now."""
        return self._state == "ready"

    @property
    def absent(self) -> bool:
        """Whether there is none at all."""
        return self._state == "none"

    def became_ready(self) -> bool:
        """Whether it has become ready since this was asked last."""
        fresh, self._is_news = self._is_news and self.ready, False
        return fresh

    @property
    def known(self) -> bool:
        """Whether it has been ready once: then its types are known."""
        return bool(self.types)

    @property
    def is_fresh(self) -> bool:
        """Whether each job gets a process of its own."""
        return self._pool.mode == "fresh"

    def start(self, now: float) -> None:
        """Begins a new one. Raises SandboxError."""
        holder = self._equipment.holder(self._equipment.level)
        self._slot = holder.prepare(SlotClass(work="disk"))
        self._state = "preparing"
        self._task, self._killed, self._watched = None, False, True
        self._wear = Wear(self._pool)
        self.cpu_s, self.peak_bytes = 0.0, 0
        wall_s = self._pool.limits.wall_s
        self._due = None if wall_s is None else now + wall_s
        self._selector.register(self._slot, selectors.EVENT_READ, "runner")

    def give(self, task: Task, order: bytes, fds: list[int]) -> None:
        """Hands a job to it. It must be ready. Raises Gone, or another OSError."""
        assert self._talk is not None and self._slot is not None and self._state == "ready"
        try:
            socket.send_fds(self._talk, [order], fds, socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
        except (BrokenPipeError, ConnectionResetError) as error:
            self._state = "leaving"
            self._slot.end(kill=True)
            raise Gone from error
        self._task, self._state = task, "working"

    def hold_to(self, memory_bytes: int | None, cpu_s: float | None) -> None:
        """Its job lasts: from now on it is measured, and ended above these limits."""
        assert self._slot is not None
        self._slot.hold_to(memory_bytes, cpu_s)
        self._watched = True

    def end_job(self, *, kill: bool) -> None:
        """Its job shall end: it serves no other one after this."""
        assert self._slot is not None
        self._killed = True
        self._slot.end(kill=kill)

    def job_over(self, now: float) -> None:
        """Its job is over, and it lives. It rests, or goes if it is worn or was told to end its job."""
        self._task = None
        self._wear.jobs += 1
        if self._watched and self._slot is not None:
            self._slot.rest()
            self._watched = False
        self._state = "ready"
        why = "a job of it had to be ended" if self._killed else self._wear.worn()
        if why is not None:
            logger.info("the runner makes room for a fresh one: {}", why)
            self.stop(now)
        else:
            self._idle_output.bound()

    def stop(self, now: float) -> None:
        """Asks it to tear down and go; it is killed if it does not within the grace."""
        self._state = "leaving"
        self._due = now + self._equipment.kill_grace_s
        with contextlib.suppress(OSError):
            assert self._talk is not None
            self._talk.send(b'{"do":"stop"}', socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)

    def close(self) -> None:
        """Ends it politely if it is ready, and verifies that nothing of it is left. Takes the grace at most."""
        if self._slot is None:
            return
        if self._state in ("ready", "leaving"):
            deadline = time.monotonic() + self._equipment.kill_grace_s
            if self._state == "ready":
                self.stop(time.monotonic())
            while self._slot is not None and time.monotonic() < deadline:
                with selectors.DefaultSelector() as waiting:
                    waiting.register(self._slot, selectors.EVENT_READ)
                    waiting.select(min(SIGN_OF_LIFE_S, max(0.0, deadline - time.monotonic())))
                self._context.scoreboard.beat()
                self.on_slot(time.monotonic())
        self._let_go()

    # What happens to it

    def on_time(self, now: float) -> None:
        """Does what is due at `now`."""
        if self._slot is not None and self._slot.give_up_at_s is not None and now >= self._slot.give_up_at_s:
            self.on_slot(now)
        if self._due is None or now < self._due:
            return
        self._due = None
        if self._state in ("preparing", "booting"):
            self._break(
                f"it was not set up within {self._pool.limits.wall_s:g} s (setting pools.{self._pool.name}.limits.wall)"
            )
        elif self._state == "leaving" and self._slot is not None:
            self._slot.end(kill=True)

    def next_time(self) -> float | None:
        """When `on_time` is wanted, in monotonic seconds."""
        wanted = (self._due, self._slot.give_up_at_s if self._slot is not None else None)
        return min((at for at in wanted if at is not None), default=None)

    def on_slot(self, now: float) -> None:
        """Something came from the keeper."""
        for event in self._slot.receive() if self._slot is not None else ():
            match event:
                case Prepared():
                    self._launch(event)
                case LaunchFailed():
                    self._break(f"its runner could not be started: {event.step}: {event.message}")
                case Ended() | KeeperLost():
                    self._on_end(event, now)

    @property
    def use(self) -> Use | None:
        """What its tree uses while it is measured."""
        return self._slot.use if self._slot is not None else None

    def on_talk(self, now: float) -> None:
        """The runner said something."""
        self._listen(now)

    def _listen(self, now: float) -> bool:
        """Hears one thing; False if there is nothing more."""
        if self._talk is None:
            return False
        try:
            size = self._talk.recv_into(self._heard, LARGEST, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            size = 0
        if not size:
            self._hang_up()
            return False
        self._hear(bytes(self._heard[:size]), now)
        return True

    def _hear(self, line: bytes, now: float) -> None:
        try:
            said = decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            logger.error("the runner said something unreadable, and is ended: {}", error)
            self.end_job(kill=True)
            return
        match said:
            case Ready() if self._state == "booting":
                self._on_ready(said)
            case Broken():
                self._break(said.message)
            case _ if self._task is not None:
                if isinstance(said, Answered | Over):
                    self._wear.rss_bytes = said.rss_bytes
                self._task.on_said(said, now)

    def _on_ready(self, said: Ready) -> None:
        types = self._pool.types or tuple(said.types)
        if not types:
            self._break(f"it names no types: give the class `types`, or set pools.{self._pool.name}.types")
            return
        self.types = types
        self._wear.rss_bytes = said.rss_bytes
        self.cpu_s, self.peak_bytes = said.cpu_s, said.peak_bytes
        self._state, self._due, self._is_news = "ready", None, True
        assert self._slot is not None
        self._slot.rest()
        self._watched = False
        self._idle_output.tell()

    # How it begins and ends

    def _launch(self, event: Prepared) -> None:
        assert self._slot is not None
        mark = self._equipment.mark
        self._talk = launch_runner(self._slot, event.job_dir, self._context, mark, self._idle_output.fd)
        self._selector.register(self._talk, selectors.EVENT_READ, "talk")
        self._state = "booting"

    def _on_end(self, event: Ended | KeeperLost, now: float) -> None:
        # Its last words may still be there; with the keeper's report they are all there is.
        while self._listen(now):
            pass
        task, state, jobs = self._task, self._state, self._wear.jobs
        self._let_go()
        if task is not None:
            task.on_runner_end(event, now)
        elif state == "booting" or (state == "ready" and jobs == 0):
            self._break(f"its runner {in_words(event)} before its first job")
        elif state == "ready":
            logger.error("the runner {} while it had no job; another one is started", in_words(event))
        if isinstance(event, KeeperLost) and not event.gone:
            self.broken = self.broken or event.reason

    def _let_go(self) -> None:
        self._hang_up()
        if self._slot is not None:
            with contextlib.suppress(KeyError):
                self._selector.unregister(self._slot)
            self._slot.close()
        self._slot, self._task, self._due = None, None, None
        self._state = "none"
        self._idle_output.tell()

    def _hang_up(self) -> None:
        if self._talk is not None:
            self._selector.unregister(self._talk)
            self._talk.close()
        self._talk = None

    def _break(self, why: str) -> None:
        if self.broken is None:
            self.broken = why
            words = self._idle_output.take()
            logger.error("the handler {} cannot be had: {}{}", self._pool.handler, why, f"\n{words}" if words else "")
