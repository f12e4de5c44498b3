"""The broker's life: open the database, learn who lives, lose what is lost, serve, close.

Order matters: no lease is granted before the arbiter's fleet is known and the attempts of dead workers are settled.
A storage error ends the process without another acknowledgement; the arbiter starts a new one.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec
from loguru import logger
from setproctitle import setproctitle

from supervisor import log
from supervisor.broker import chronicle
from supervisor.broker.backups import Backups
from supervisor.broker.cascade import Cascade
from supervisor.broker.check import Checker
from supervisor.broker.commit import Committer
from supervisor.broker.feed import Feed
from supervisor.broker.fleet import BACKLOG_TURNS, ArbiterLink, FleetView, Handlers
from supervisor.broker.grants import Grants
from supervisor.broker.holds import Holds
from supervisor.broker.leases import Leases
from supervisor.broker.minutes import Minutes
from supervisor.broker.reconcile import lost_incarnations
from supervisor.broker.removal import Remover
from supervisor.broker.reserve import Reserve
from supervisor.broker.retention import Rounds
from supervisor.broker.server import Server
from supervisor.broker.service import Service
from supervisor.broker.ticker import Ticker
from supervisor.broker.vitality import Vitality
from supervisor.child import BrokerContext
from supervisor.config import Settings
from supervisor.core.errors import StorageError
from supervisor.core.fleet import BEATS_A_PERIOD
from supervisor.core.names import QUEUED, RUNNING, SCHEDULED
from supervisor.spool import Spool
from supervisor.store import (
    Event,
    counts,
    lose,
    open_reader,
    open_writer,
    running_incarnations,
)
from supervisor.wire.tree import Attached, BrokerMessage, Configure, Exited, Fleet, Ready, StopRequest

SWITCH_S: Final = 0.0002
"""So long the loop or the writer may keep the other from going on."""


def run(context: BrokerContext) -> int:
    """The life of a broker process; returns its exit status, or raises what ends it."""
    log.configure("broker", context.settings.log)
    setproctitle("worker-supervisor: broker")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # HAZARD: SQLite's calls let go of the interpreter. With Python's 5 ms the writer would wait so long for each of the
    # twenty statements of a settle whenever the loop is busy.
    sys.setswitchinterval(SWITCH_S)
    return asyncio.run(_Broker(context).live())


class _Broker:
    def __init__(self, context: BrokerContext) -> None:
        self._context = context
        self._fleet = FleetView()
        self._fleet_known = asyncio.Event()
        self._done: asyncio.Future[None]
        self._server: Server | None = None
        self._service: Service | None = None
        self._settings = context.settings

    async def live(self) -> int:
        context = self._context
        self._done = asyncio.get_running_loop().create_future()
        beating = asyncio.ensure_future(self._beat())
        self._feed = Feed()
        self._committer = Committer(
            lambda: open_writer(context.paths.database, context.settings.synchronous),
            Reserve(f"{context.paths.state_dir}/reserve"),
            self._on_events,
            self._on_storage_failure,
            on_step_back=self._on_step_back,
        )
        await self._committer.connected()
        self._reader = open_reader(context.paths.database)
        self._minutes = Minutes(partial(counts, self._reader))
        self._vitals = Vitality(self._reader, self._committer, self._say, wanted=context.wants_vitals)
        self._leases = Leases(context.settings, self._committer)
        self._committer.on_told = self._leases.flush
        self._ticker = Ticker(self._committer, self._reader)
        self._cascade = Cascade(self._committer, self._reader)
        self._link = ArbiterLink(
            context.channel,
            Handlers(
                on_fleet=self._on_fleet,
                on_exited=self._on_exited,
                on_drain=self._on_drain,
                on_close=self._on_close,
                on_settings=self._on_settings,
                on_ping=self._vitals.prove,
            ),
        )
        listening = asyncio.ensure_future(self._link.listen())
        await self._fleet_known.wait()
        await chronicle.daemon_started(
            self._committer, context.supervisor, restarted=context.restarted, upgrade=context.upgrade
        )
        await self._lose_the_dead()
        await self._serve()
        ticking = asyncio.ensure_future(self._ticker.run())
        deciding = asyncio.ensure_future(self._cascade.run())
        tidying = asyncio.ensure_future(self._rounds.run())
        logger.info("ready on {}", context.paths.socket)
        self._link.say(Ready())
        self._vitals.changed()
        await self._first_end(listening, ticking, deciding, tidying, beating)
        ticking.cancel()
        deciding.cancel()
        tidying.cancel()
        return await self._close()

    async def _serve(self) -> None:
        context = self._context
        spool, holds = Spool(context.paths), Holds()
        remover = self._remover = Remover(context.paths, self._reader, self._committer, self._feed, holds)
        self._rounds = Rounds(context.paths, self._reader, remover, lambda: service.settings.retention)
        service = self._service = Service(
            settings=self._settings,
            paths=context.paths,
            reader=self._reader,
            committer=self._committer,
            feed=self._feed,
            leases=self._leases,
            fleet=self._fleet,
            spool=spool,
            holds=holds,
            remover=remover,
            rounds=self._rounds,
            backups=Backups(context.paths, spool, holds),
            grants=Grants(self._leases),
            checker=Checker(self._settings.checks),
            request_stop=lambda: self._link.say(StopRequest()),
            ask=self._link.ask,
            say_attached=lambda incarnation: self._link.say(Attached(incarnation=incarnation)),
            started_at=context.started_at,
            board=context.board,
        )
        self._server = Server(service)
        self._server.serve(context.listener)

    async def _first_end(self, *tasks: asyncio.Future[None]) -> None:
        """Until we are told to close, or a part that must live has ended."""
        done, _ = await asyncio.wait((self._done, *tasks), return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def _close(self) -> int:
        if self._server is not None:
            self._server.close()
        await self._remover.close()
        if self._fleet.draining:
            await chronicle.daemon_stopped(self._committer)
        await self._committer.close()
        self._minutes.close()
        self._reader.close()
        logger.info("stopped")
        return 0

    # What the arbiter says

    def _on_fleet(self, fleet: Fleet) -> None:
        self._fleet.newest = fleet
        self._fleet_known.set()
        self._leases.leaving = frozenset(
            member.incarnation or "" for member in fleet.members if member.state == "stopping"
        )
        self._leases.hold(fleet.held)
        if fleet.draining:
            self._on_drain()

    def _on_drain(self) -> None:
        self._leases.desk.close()

    def _on_settings(self, message: Configure) -> None:
        """After a reload. What is kept by others is read from `Service.settings` and `Leases.settings` at each use."""
        settings = msgspec.json.decode(message.settings, type=Settings)
        if settings.log != self._settings.log:
            log.configure("broker", settings.log)
        self._settings = self._leases.settings = settings
        if self._service is not None:
            self._service.settings = settings
            self._service.checker = Checker(settings.checks)
        if message.reloaded is not None:
            self._committer.run(partial(chronicle.record_reload, message.reloaded), essential=True)
        self._leases.takers_changed()

    def _on_close(self) -> None:
        if not self._done.done():
            self._done.set_result(None)

    async def _on_exited(self, exited: Exited) -> None:
        await self._fleet_known.wait()
        await self._until_read_to_end(exited.incarnation)
        lost = await chronicle.worker_exited(self._committer, exited)
        if lost:
            logger.warning("worker {} {}: it had leases of jobs {}", exited.worker, exited.cause, lost)

    async def _until_read_to_end(self, incarnation: str) -> None:
        """What a dead worker said before it died still counts; some of it may wait in the listener's backlog."""
        for _ in range(BACKLOG_TURNS):
            await asyncio.sleep(0)
        for session in self._server.sessions() if self._server is not None else ():
            if session.attach is not None and session.attach.incarnation == incarnation:
                await session.read_to_end.wait()

    async def _lose_the_dead(self) -> None:
        assert self._fleet.newest is not None
        for incarnation, reason, message in lost_incarnations(running_incarnations(self._reader), self._fleet.newest):
            lost = await self._committer.run(
                partial(lose, incarnation=incarnation, reason=reason, message=message, started=None), essential=True
            )
            logger.warning("{}: attempts of jobs {}", message, lost)

    # What happens inside

    def _say(self, message: BrokerMessage) -> None:
        self._link.say(message)

    async def _beat(self) -> None:
        while True:
            self._context.scoreboard.beat()
            await asyncio.sleep(self._context.settings.hang_timeout_s / BEATS_A_PERIOD)

    def _on_events(self, events: Sequence[Event]) -> None:
        self._feed.publish(events)
        self._cascade.happened(events)
        self._minutes.note(events)
        self._vitals.changed()
        states = {event.state for event in events}
        if any(event.attempt is not None and event.state != RUNNING for event in events):
            self._leases.attempt_ended()
        if QUEUED in states:
            self._leases.work_arrived()
        if SCHEDULED in states:
            self._ticker.something_scheduled()

    def _on_step_back(self) -> None:
        self._ticker.clock_stepped_back()

    def _on_storage_failure(self, error: StorageError) -> None:
        logger.critical("the database failed, ending: {}", error)
        if not self._done.done():
            self._done.set_exception(error)
