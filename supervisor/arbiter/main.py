"""The arbiter's own life: take the folder, clean up, bind, fork, watch, and end with everything ended.

The order of the start is the point: nothing is touched before the lock, and nothing is forked before what an earlier
supervisor left is gone. It must never die of what a client, a job or a child does.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable
from typing import Any

import msgspec
from loguru import logger
from setproctitle import setproctitle

from supervisor import extra, log
from supervisor.arbiter import estate, prctl, signals
from supervisor.arbiter import kinds as kinds_table
from supervisor.arbiter.aftermath import Aftermath
from supervisor.arbiter.births import Births
from supervisor.arbiter.broker import Broker, Hears
from supervisor.arbiter.estate import Estate
from supervisor.arbiter.fleet import WorkerFleet
from supervisor.arbiter.gateway import Gateway
from supervisor.arbiter.handover import Handover, LeftOrphans, settings_of
from supervisor.arbiter.kinds import KINDS, Kinds
from supervisor.arbiter.loop import Loop
from supervisor.arbiter.notify import ServiceManager
from supervisor.arbiter.operations import Operations
from supervisor.arbiter.orphans import Orphans
from supervisor.arbiter.reading import Reading
from supervisor.arbiter.replicas import Replicas
from supervisor.arbiter.roll import Roll
from supervisor.arbiter.shutdown import Shutdown
from supervisor.arbiter.slot import BROKER_PLACE, READER_PLACE, worker_place
from supervisor.arbiter.succession import Succession
from supervisor.arbiter.successor import Commands, commands
from supervisor.arbiter.upgrade import Refusal, Upgrade
from supervisor.arbiter.watch import Watch
from supervisor.config import Settings
from supervisor.sandbox import delegated_cgroup
from supervisor.wire import tree
from supervisor.wire.tree import ArbiterRequest, Configure, Exited, Vitals

Reread = Callable[[], Settings]


def run(
    settings: Settings,
    reread: Reread,
    kinds: Kinds = KINDS,
    left: Handover | None = None,
    commands: Callable[[str | None], Commands] = commands,
    cgroups: Callable[[], tuple[str | None, str]] = delegated_cgroup,
) -> int:
    """Lives until stopped; returns the daemon's exit status. Raises SupervisorError when it cannot start.

    `reread` finds the settings again as this start found them, or raises SettingsError. `left` is what the program
    before this one left to it, `commands` what the next one is started by.
    """
    manager = ServiceManager(os.environ)
    os.umask(0o077)
    setproctitle("worker-supervisor: arbiter")
    kinds_table.preload(kinds)
    if left is None:
        extra.check(settings)
        owned = estate.found(settings)
        past = settings
    else:
        past = settings_of(left)
        owned = estate.inherit(left, past)
    try:
        strangers = None if left is None else left.orphans
        arbiter = Arbiter(past, reread, kinds, owned, manager, commands, cgroups, strangers)
        return arbiter.run(left, settings)
    finally:
        owned.dissolve()


class Arbiter:
    """Everything that lives as long as the daemon, and the wires between its parts."""

    def __init__(
        self,
        settings: Settings,
        reread: Reread,
        kinds: Kinds,
        owned: Estate,
        manager: ServiceManager,
        commands: Callable[[str | None], Commands],
        cgroups: Callable[[], tuple[str | None, str]],
        strangers: LeftOrphans | None,
    ) -> None:
        self._estate = owned
        self._manager = manager
        self._said_ready = False
        self._succession: Succession | None = None
        scoreboard = owned.scoreboard
        # Before the first fork: this process moves into a leaf of the group, and its children are born there.
        cgroup, sentence = cgroups()
        logger.debug("cgroups: {}", sentence)
        births = Births(
            settings=lambda: self._operations.settings,
            kinds=kinds,
            paths=owned.paths,
            mark=owned.mark,
            lock_fd=owned.lock_fd,
            listener=owned.listener,
            scoreboard=scoreboard,
            supervisor=owned.supervisor,
            started_at=owned.started_at,
            cgroup=cgroup,
            wants_vitals=manager.is_there,
            restarted=lambda: self._said_ready,
            upgrade=owned.upgrade,
        )
        self._loop = Loop()
        self._fleet = WorkerFleet(
            self._loop, owned.supervisor, births.worker, changed=self._fleet_changed, exited=self._tell_exit
        )
        self._replicas = Replicas(
            self._fleet,
            settings.pools,
            lambda index: scoreboard.slot(worker_place(index)),
            settings.slot_uid_base,
        )
        self._roll = Roll(self._loop, self._fleet)
        self._reading = Reading(self._loop, reread, scoreboard.slot(READER_PLACE))
        self._broker = Broker(
            self._loop,
            self._fleet,
            births.broker,
            scoreboard.slot(BROKER_PLACE),
            Hears(
                ready=self._ready,
                acked=self._acked,
                stop_requested=lambda: self._begin_shutdown("a client asked for it"),
                asked=self._do,
                pong=self._proven,
                vitals=self._tell_vitals,
                over=self._broker_is_over,
            ),
        )
        self._operations = Operations(
            settings,
            self._fleet,
            self._replicas,
            self._roll,
            self._reading,
            answer=self._broker.answer,
            changed=self._settings_changed,
            reloading=self._tell_reloading,
        )
        self._shutdown = Shutdown(
            self._loop, self._fleet, self._broker, settings.shutdown_timeout_s, settings.kill_grace_s
        )
        self._watch = Watch(self._loop, self._fleet, self._broker, settings.hang_timeout_s)
        self._orphans = Orphans(owned.mark, strangers)
        self._aftermath = Aftermath(self._loop, self._orphans, self._known_pids)
        self._gateway = Gateway(
            self._loop,
            lambda: self._operations.settings,
            owned.paths.state_dir,
            owned.paths.socket,
            owned.lock_fd,
            scoreboard,
            changed=self._fleet_changed,
        )
        self._upgrade = Upgrade(
            self._loop,
            lambda: self._operations.settings.log,
            commands,
            manager.handed_on,
            self._no_upgrade_now,
            self._leave,
            self._broker.answer,
            self._fleet_changed,
        )

    def run(self, left: Handover | None, settings: Settings) -> int:
        """Forks everything, or goes on with what was left, and serves until the shutdown is over."""
        prctl.hide_memory()
        signals.install(self._loop, self._signalled)
        gc.collect()
        # The children share this memory: a collection there must not write to all of it.
        gc.freeze()
        if left is None:
            self._gateway.open()
            self._fleet.gateway = self._gateway.seen()
            self._replicas.settle()
            self._broker.start()
            self._fleet.start(self._aftermath)
        else:
            self._go_on(left, settings)
        self._gateway.start()
        self._watch.begin()
        self._manager.begin(self._loop, self._broker.ping)
        try:
            exit_status = self._loop.run()
        finally:
            self._gateway.end()
        if self._shutdown.last_words:
            log.announce(f"worker-supervisor: {self._shutdown.last_words}")
        return exit_status

    def _go_on(self, left: Handover, settings: Settings) -> None:
        """Takes over the children of the program before this one. Nothing is said to a broker before all are known."""
        self._said_ready = left.said_ready
        self._fleet.upgrades = self._estate.upgrades
        self._succession = Succession(left, self._fleet, self._broker, self._roll)
        self._fleet.adopt(left.fleet, self._replicas.inherit(left.fleet), self._aftermath)
        self._operations.succeed(settings)
        self._gateway.adopt(left.gateway)
        if left.broker is None:
            self._broker.start()
        else:
            self._broker.adopt(left.broker)
        signals.let_in()
        self._aftermath.look()
        self._fleet_changed()
        self._succession.begin()

    def _leave(self, request: int) -> Handover:
        return self._estate.leave(
            self._operations.settings,
            self._fleet.leave_behind(),
            self._broker.leave(),
            self._gateway.leave(),
            self._orphans.leave(),
            self._said_ready,
            request,
        )

    def _no_upgrade_now(self) -> Refusal | None:
        if self._fleet.draining:
            return Refusal("stopping", "the daemon is shutting down")
        # Neither who reads settings nor who is about to leave the database is handed on.
        return Refusal("", "") if self._reading.pids or self._broker.is_dying else None

    def _known_pids(self) -> set[int]:
        broker = self._broker.child
        own = self._reading.pids | self._upgrade.pids() | self._gateway.pids()
        return self._fleet.pids() | own | ({broker.pid} if broker is not None else set())

    def _signalled(self, number: signal.Signals) -> None:
        if number == signal.SIGCHLD:
            self._aftermath.look()
        elif number in signals.STOPPING:
            self._manager.stopping()
            self._shutdown.signalled(number.name)
        elif number == signal.SIGHUP:
            self._operations.reload(lambda _: None)
        else:
            logger.info("{} means nothing to this daemon and is ignored", number.name)

    def _begin_shutdown(self, why: str) -> None:
        self._manager.stopping()
        self._shutdown.begin(why)

    def _do(self, asked: ArbiterRequest) -> None:
        if isinstance(asked, tree.Upgrade):
            self._upgrade.ask(asked)
        else:
            self._operations.do(asked)

    def _broker_is_over(self, exit_status: int, sentence: str) -> None:
        self._shutdown.broker_is_over(exit_status, sentence)

    def _fleet_changed(self) -> None:
        self._replicas.settle()
        self._roll.go_on()
        self._fleet.upgrading = self._upgrade.state() or (self._succession.state() if self._succession else None)
        self._fleet.gateway = self._gateway.seen()
        self._broker.fleet_changed()

    def _settings_changed(self, settings: Settings, reloaded: dict[str, Any] | None) -> None:
        self._shutdown.set_times(settings.shutdown_timeout_s, settings.kill_grace_s)
        self._broker.configure(Configure(settings=msgspec.Raw(msgspec.json.encode(settings)), reloaded=reloaded))
        self._gateway.configure()

    def _tell_exit(self, exited: Exited) -> None:
        self._broker.tell_exit(exited)
        self._shutdown.progress()

    def _ready(self) -> None:
        self._broker.ping()
        if self._succession is not None:
            self._succession.broker_ready()
            self._fleet_changed()
        if not self._said_ready:
            self._said_ready = True
            self._manager.ready()
            log.announce(f"ready socket={self._estate.paths.socket} pid={os.getpid()}")

    def _acked(self) -> None:
        self._shutdown.progress()

    def _proven(self) -> None:
        # The other half of the proof: this comes to its end only if orphans can still be looked for and reaped.
        self._aftermath.look()
        self._manager.alive()

    def _tell_vitals(self, vitals: Vitals) -> None:
        state = "stopping" if self._fleet.draining else "draining" if self._fleet.held else "running"
        self._manager.status(vitals, state)

    def _tell_reloading(self, on: bool) -> None:
        if on:
            self._manager.reloading()
        elif self._said_ready:
            self._manager.ready()
