"""The arbiter's own life: take the folder, clean up, bind, fork, watch, and end with everything ended.

The order of the start is the point: nothing is touched before the lock, and nothing is forked before what an earlier
supervisor left is gone. It must never die of what a client, a job or a child does.
"""

from __future__ import annotations

import gc
import os
import secrets
import signal
import time
from collections.abc import Mapping
from functools import partial

from loguru import logger
from setproctitle import setproctitle

from supervisor import log
from supervisor.arbiter import kinds as kinds_table
from supervisor.arbiter import listener, lock, prctl, signals, slot_uids, spawn, sweep
from supervisor.arbiter.aftermath import Aftermath
from supervisor.arbiter.broker import Broker, Hears
from supervisor.arbiter.broker_link import BrokerLink
from supervisor.arbiter.fleet import WorkerFleet, WorkerSlot, slots_of
from supervisor.arbiter.kinds import KINDS, Kinds
from supervisor.arbiter.listener import Listener
from supervisor.arbiter.loop import Loop
from supervisor.arbiter.orphans import Orphans
from supervisor.arbiter.reap import Child
from supervisor.arbiter.shutdown import Shutdown
from supervisor.child import MARK_VARIABLE, BrokerContext, WorkerContext
from supervisor.config import Settings
from supervisor.core.errors import SettingsError
from supervisor.paths import Paths, prepare_folders, prepare_state_dir, read_or_make_instance
from supervisor.sandbox import delegated_cgroup
from supervisor.scoreboard import Scoreboard
from supervisor.wire.tree import Exited


def run(settings: Settings, kinds: Kinds = KINDS) -> int:
    """Lives until stopped; returns the daemon's exit status. Raises SupervisorError when it cannot start."""
    os.umask(0o077)
    setproctitle("worker-supervisor: arbiter")
    try:
        paths, lock_fd, mark = _take_folder(Paths(settings.state_dir, settings.socket))
    except OSError as error:
        raise SettingsError(f"{error.filename or settings.state_dir} cannot be used: {error.strerror}") from error
    _sweep(mark)
    slot_uids.check(settings.slot_uid_base, sum(pool.replicas for pool in settings.pools.values()))
    # For what the workers start. The daemon's own processes were not started with it: no sweep takes them for jobs.
    os.environ[MARK_VARIABLE] = mark
    kinds_table.preload(kinds)
    bound = listener.bind(paths.socket, settings.socket_group)
    try:
        return Arbiter(settings, kinds, paths, mark, lock_fd, bound).run()
    finally:
        bound.unlink()
        _remove_empty_work_folder(paths)


def _take_folder(paths: Paths) -> tuple[Paths, int, str]:
    """The folders, made and checked; the fd of the lock; the instance's id. Nothing else is touched before the lock."""
    prepare_state_dir(paths)
    lock_fd = lock.acquire(paths.lock)
    paths = prepare_folders(paths, as_root=os.geteuid() == 0)
    return paths, lock_fd, read_or_make_instance(paths)


def _remove_empty_work_folder(paths: Paths) -> None:
    """One outside of the state folder would be left behind by whoever removes the state folder."""
    if paths.work_dir is not None:
        try:
            os.rmdir(paths.work_dir)
        except OSError:
            pass


def _sweep(mark: str) -> None:
    killed, survivors = sweep.kill_leftovers(mark)
    if killed:
        logger.warning("killed {} processes that an earlier supervisor had left", killed)
    if survivors:
        logger.error("{} processes of an earlier supervisor cannot be killed", survivors)


class Arbiter:
    """Everything that lives as long as the daemon, and the wires between its parts."""

    def __init__(
        self, settings: Settings, kinds: Kinds, paths: Paths, mark: str, lock_fd: int, bound: Listener
    ) -> None:
        self._settings = settings
        self._kinds = kinds
        self._paths = paths
        self._mark = mark
        self._lock_fd = lock_fd
        self._listener = bound
        self._supervisor = secrets.token_hex(8)
        self._started_at = time.monotonic()
        self._said_ready = False
        # Before the first fork: this process moves into a leaf of the group, and its children are born there.
        self._cgroup, sentence = delegated_cgroup()
        logger.debug("cgroups: {}", sentence)
        pools = settings.pools.values()
        self._scoreboard = Scoreboard(1 + sum(pool.replicas for pool in pools))
        self._loop = Loop()
        self._fleet = WorkerFleet(
            self._loop,
            self._supervisor,
            slots_of(pools, lambda index: self._scoreboard.slot(1 + index)),
            self._fork_worker,
            changed=self._fleet_changed,
            exited=self._tell_exit,
        )
        self._broker = Broker(
            self._loop,
            self._fleet,
            self._fork_broker,
            self._scoreboard.slot(0),
            Hears(self._ready, self._acked, self._stop_requested, self._broker_is_over),
        )
        self._shutdown = Shutdown(
            self._loop, self._fleet, self._broker, settings.shutdown_timeout_s, settings.kill_grace_s
        )
        self._aftermath = Aftermath(self._loop, Orphans(mark), self._known_pids)

    def run(self) -> int:
        """Forks everything and serves until the shutdown is over."""
        prctl.hide_memory()
        signals.install(self._loop, self._signalled)
        gc.collect()
        # The children share this memory: a collection there must not write to all of it.
        gc.freeze()
        self._broker.start()
        self._fleet.start(self._aftermath)
        exit_status = self._loop.run()
        if self._shutdown.last_words:
            log.announce(f"worker-supervisor: {self._shutdown.last_words}")
        return exit_status

    def _fork_broker(self, link: BrokerLink) -> Child:
        context = BrokerContext(
            settings=self._settings,
            paths=self._paths,
            listener=self._listener.socket,
            channel=link.theirs,
            scoreboard=self._scoreboard.slot(0),
            lock_fd=self._lock_fd,
            supervisor=self._supervisor,
            started_at=self._started_at,
        )
        fds: dict[kinds_table.Descriptor, int] = {
            "lock": self._lock_fd,
            "listener": self._listener.socket.fileno(),
            "channel": link.theirs.fileno(),
        }
        return self._fork("broker", "broker", context, fds)

    def _fork_worker(self, slot: WorkerSlot) -> Child:
        context = WorkerContext(
            settings=self._settings,
            paths=self._paths,
            pool=slot.pool,
            name=slot.name,
            index=slot.index,
            incarnation=slot.incarnation or "",
            scoreboard=slot.scoreboard,
            lock_fd=self._lock_fd,
            mark=self._mark,
            cgroup=self._cgroup,
        )
        return self._fork("worker", f"worker {slot.name}", context, {"lock": self._lock_fd})

    def _fork(
        self,
        name: kinds_table.Name,
        role: str,
        context: BrokerContext | WorkerContext,
        fds: Mapping[kinds_table.Descriptor, int],
    ) -> Child:
        kind = self._kinds[name]
        return spawn.spawn(
            spawn.Birth(
                role=role,
                main=partial(kind.main(), context),
                fds=tuple(fds[descriptor] for descriptor in kind.fds),
                scoreboard=context.scoreboard,
                log=self._settings.log,
            )
        )

    def _known_pids(self) -> set[int]:
        broker = self._broker.child
        return self._fleet.pids() | ({broker.pid} if broker is not None else set())

    def _signalled(self, number: signal.Signals) -> None:
        if number == signal.SIGCHLD:
            self._aftermath.look()
        elif number in signals.STOPPING:
            self._shutdown.signalled(number.name)
        else:
            logger.info("{} means nothing to this daemon yet and is ignored", number.name)

    def _fleet_changed(self) -> None:
        self._broker.fleet_changed()

    def _tell_exit(self, exited: Exited) -> None:
        self._broker.tell_exit(exited)
        self._shutdown.progress()

    def _ready(self) -> None:
        if not self._said_ready:
            self._said_ready = True
            log.announce(f"ready socket={self._paths.socket} pid={os.getpid()}")

    def _acked(self) -> None:
        self._shutdown.progress()

    def _stop_requested(self) -> None:
        self._shutdown.begin("a client asked for it")

    def _broker_is_over(self, exit_status: int, sentence: str) -> None:
        self._shutdown.broker_is_over(exit_status, sentence)
