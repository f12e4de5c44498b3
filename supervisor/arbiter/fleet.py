"""The worker slots: who runs in each, when its next worker starts, and what the broker must know about its dead.

A slot's next worker starts only when the last one's tree is verified gone. What is reported is remembered until the
broker has made it durable. Which slots there are is `replicas.py`'s to say, who is replaced `roll.py`'s.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from loguru import logger

from supervisor import __version__
from supervisor.arbiter.aftermath import Aftermath
from supervisor.arbiter.force import dump_and_kill
from supervisor.arbiter.handover import LeftFleet
from supervisor.arbiter.loop import Loop
from supervisor.arbiter.reap import Child, reap
from supervisor.arbiter.slot import WorkerSlot, how_it_ended
from supervisor.core.fleet import Deaths, after_worker_death, exit_reason
from supervisor.wire.tree import Exited, Fleet, Gateway, Upgrading

FORK_AGAIN_S: Final = 1.0
"""Until the next try when the kernel refuses a fork."""
_SHORTEST_LIFE_S: Final = 0.1
"""Workers that leave are replaced at once, but a slot starts no more than one in this time."""


class WorkerFleet:
    """All worker slots. `fork` starts a worker; `changed` and `exited` pass on what the broker must hear."""

    def __init__(
        self,
        loop: Loop,
        supervisor: str,
        fork: Callable[[WorkerSlot], Child],
        changed: Callable[[], None],
        exited: Callable[[Exited], None],
    ) -> None:
        self.slots: list[WorkerSlot] = []
        self.unacked: dict[str, Exited] = {}
        self.draining = False
        self.held = False
        self.notes: dict[str, str] = {}
        self.upgrades = 0
        self.upgrading: Upgrading | None = None
        self.gateway: Gateway | None = None
        self._loop = loop
        self._supervisor = supervisor
        self._fork = fork
        self._changed = changed
        self._exited = exited
        self._born = 0
        self._aftermath: Aftermath | None = None

    def start(self, aftermath: Aftermath) -> None:
        """Starts a worker in every slot."""
        self._aftermath = aftermath
        for slot in self.slots:
            self._start(slot)

    def leave_behind(self) -> LeftFleet:
        """What a successor of this program must know."""
        return LeftFleet(
            slots=tuple(slot.leave() for slot in self.slots),
            pools={slot.pool.name: slot.pool for slot in self.slots},
            unacked=tuple(self.unacked.values()),
            born=self._born,
            held=self.held,
            notes=self.notes,
        )

    def adopt(self, left: LeftFleet, slots: Iterable[WorkerSlot], aftermath: Aftermath) -> None:
        """Takes the slots over from the program before this one, instead of starting: everybody in them lives on."""
        self._aftermath = aftermath
        self._born, self.held, self.notes = left.born, left.held, dict(left.notes)
        self.unacked = {exited.incarnation: exited for exited in left.unacked}
        self.slots.extend(slots)
        for slot in self.slots:
            if slot.child is not None:
                self._loop.watch(slot.child.pidfd, partial(self._look_at, slot, slot.child))
                if slot.verdict:
                    self._force(slot, slot.child)
            elif slot.exiting is not None:
                aftermath.verify(partial(self._settled, slot, slot.exiting))
            elif slot.start_at_s is not None:
                self._start_later(slot, max(0.0, slot.start_at_s - self._loop.now_s()))

    @property
    def is_new(self) -> bool:
        """Whether nothing was started yet."""
        return self._aftermath is None

    def message(self) -> Fleet:
        """What a broker is told first, and again at each change."""
        return Fleet(
            supervisor=self._supervisor,
            members=tuple(slot.member() for slot in self.slots),
            exiting=(*self.unacked, *(one.exiting.incarnation for one in self.slots if one.exiting is not None)),
            draining=self.draining,
            held=self.held,
            notes=tuple(self.notes.values()),
            version=__version__,
            upgrades=self.upgrades,
            upgrading=self.upgrading,
            gateway=self.gateway,
        )

    def acked(self, incarnation: str) -> None:
        """The broker has made this exit durable."""
        if self.unacked.pop(incarnation, None) is not None:
            self._changed()

    def attached(self, incarnation: str) -> None:
        """A worker has said to the broker who it is: whatever it was to replace is replaced."""
        for slot in self.slots:
            if slot.incarnation == incarnation:
                # One that was told to leave says it again to each new broker.
                if slot.renewing and not slot.leaving:
                    slot.renewal, slot.renewing = "", False
                self._changed()

    def hold(self, on: bool) -> None:
        """Whether the broker may grant leases."""
        self.held = on
        self._changed()

    def note(self, about: str, sentence: str | None) -> None:
        """A sentence for `health` about something, until there is another or none."""
        others = {key: words for key, words in self.notes.items() if key != about}
        self.notes = others if sentence is None else {**others, about: sentence}
        self._changed()

    def pids(self) -> set[int]:
        """Of the workers that were not yet reaped."""
        return {slot.child.pid for slot in self.slots if slot.child is not None}

    @property
    def is_gone(self) -> bool:
        """No worker is alive, and every dead one's tree has been looked for."""
        return all(slot.child is None and slot.exiting is None for slot in self.slots)

    def stop_replacing(self) -> None:
        """From now on a dead worker's slot stays empty."""
        self.draining = True
        for slot in self.slots:
            _cancel_timer(slot)
        self._changed()

    def send(self, number: signal.Signals) -> None:
        """Signals every living worker."""
        for slot in self.slots:
            if slot.child is not None:
                if number == signal.SIGKILL:
                    slot.verdict = "was killed at the shutdown"
                slot.child.send(number)

    def leave_all(self) -> None:
        """Asks every worker to end after its job; to one that was asked before, the same again would mean at once."""
        for slot in self.slots:
            if slot.child is not None:
                self.leave(slot)

    def add(self, slot: WorkerSlot) -> None:
        """A new slot, with a worker as soon as there can be one."""
        self.slots.append(slot)
        self.slots.sort(key=lambda one: (one.pool.name, one.number))
        if self._aftermath is not None:
            self._start(slot)

    def leave(self, slot: WorkerSlot) -> None:
        """Asks its worker, once, to end after its job; without one, a slot that is not needed any more goes."""
        if slot.child is not None:
            if not slot.leaving:
                slot.leaving, slot.state = True, "stopping"
                slot.child.send(signal.SIGTERM)
        elif slot.surplus and slot.exiting is None and not slot.stuck:
            self._remove(slot)
        self._changed()

    def release(self, slot: WorkerSlot) -> None:
        """Forgets its deaths; a slot that waits or is parked starts its next worker now."""
        slot.deaths = Deaths()
        if slot.child is None and slot.exiting is None and not slot.stuck and not self.draining:
            _cancel_timer(slot)
            self._start(slot)

    def condemn(self, slot: WorkerSlot, verdict: str, *, dump: bool) -> None:
        """Ends its worker by force; `verdict` becomes the cause of its death. `dump`: it may say first where it is."""
        child = slot.child
        if child is None or slot.verdict:
            return
        slot.verdict = verdict
        logger.error("worker {} {}: it is killed", slot.name, verdict)
        if dump:
            self._force(slot, child)
        else:
            child.send(signal.SIGKILL)

    def _force(self, slot: WorkerSlot, child: Child) -> None:
        dump_and_kill(self._loop, child, lambda: slot.child is child)

    def _start(self, slot: WorkerSlot) -> None:
        slot.timer = slot.start_at_s = None
        self._born += 1
        slot.incarnation = f"{self._supervisor}-{self._born}"
        slot.started_at_s = self._loop.now_s()
        slot.scoreboard.reset()
        slot.leaving = False
        slot.verdict = ""
        slot.renewing = bool(slot.renewal)
        try:
            slot.child = self._fork(slot)
        except OSError as error:
            # The machine's want, no death of this worker's: it parks nobody.
            slot.incarnation, slot.state, slot.note = None, "backoff", f"cannot be forked: {error.strerror}"
            logger.error("worker {} {}", slot.name, slot.note)
            self._start_later(slot, FORK_AGAIN_S)
        else:
            slot.starts += 1
            slot.state, slot.note = "starting", ""
            self._loop.watch(slot.child.pidfd, partial(self._look_at, slot, slot.child))
        self._changed()

    def _look_at(self, slot: WorkerSlot, child: Child) -> None:
        ended = reap(child)
        if ended is None or slot.incarnation is None or self._aftermath is None:
            return
        self._loop.unwatch(child.pidfd)
        child.close()
        if ended.code is not None:
            slot.verdict = ""  # our signal found it dead already: it had ended by itself
        words = slot.scoreboard.last_words
        exited = Exited(
            incarnation=slot.incarnation,
            worker=slot.name,
            cause=slot.verdict or ended.cause + (f": {words}" if words else ""),
            started=slot.scoreboard.started,
            tree_gone=False,
            how=(how := how_it_ended(slot, ended)),
            reason=exit_reason(how, ended.code, ended.signal, slot.verdict or words, slot.renewal),
        )
        slot.child = slot.incarnation = None
        slot.last_exit = exited.cause
        willing = how == "recycled" or (how == "left" and slot.leaving)
        slot.state, slot.note = ("stopping", "") if willing else ("backoff", exited.cause)
        slot.exiting = exited
        slot.lived_s = self._loop.now_s() - slot.started_at_s
        self._aftermath.verify(partial(self._settled, slot, exited))
        self._changed()

    def _settled(self, slot: WorkerSlot, exited: Exited, tree_gone: bool) -> None:
        exited.tree_gone = tree_gone
        exited.replaced = not self.draining and not slot.surplus
        slot.exiting = None
        self.unacked[exited.incarnation] = exited
        self._exited(exited)
        if self.draining:
            logger.info("worker {} {}", slot.name, exited.cause)
        elif not tree_gone:
            slot.stuck = True
            self._park(slot, f"{exited.cause}; a process that it left cannot be killed")
        elif slot.surplus:
            logger.info("worker {} {}; it is not needed any more", slot.name, exited.cause)
            self._remove(slot)
        elif exited.how in ("left", "recycled"):
            logger.info("worker {} {}", slot.name, exited.cause)
            self._start_later(slot, max(0.0, _SHORTEST_LIFE_S - slot.lived_s))
        else:
            self._come_back(slot, exited.cause)
        self._changed()

    def _come_back(self, slot: WorkerSlot, cause: str) -> None:
        restart = after_worker_death(slot.deaths, slot.lived_s, self._loop.now_s())
        slot.deaths = restart.deaths
        if restart.delay_s is None:
            self._park(slot, f"{len(restart.deaths.recent)} deaths within a minute, the last: {cause}")
            return
        slot.state, slot.note = "backoff", cause
        logger.warning("worker {} {}; the next starts in {:g} s", slot.name, cause, restart.delay_s)
        self._start_later(slot, restart.delay_s)

    def _start_later(self, slot: WorkerSlot, delay_s: float) -> None:
        if not self.draining:
            slot.start_at_s = self._loop.now_s() + delay_s
            slot.timer = self._loop.later(delay_s, partial(self._start, slot))

    def _park(self, slot: WorkerSlot, note: str) -> None:
        slot.state, slot.note = "parked", note
        logger.error("worker {} is parked: {}", slot.name, note)

    def _remove(self, slot: WorkerSlot) -> None:
        _cancel_timer(slot)
        self.slots.remove(slot)


def _cancel_timer(slot: WorkerSlot) -> None:
    if slot.timer is not None:
        slot.timer.cancel()
        slot.timer = slot.start_at_s = None
