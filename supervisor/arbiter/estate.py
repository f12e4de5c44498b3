"""What the daemon owns for its whole life: folders, lock, socket, shared memory, its name. Founded once, then inherited.

The order of the founding is the point: nothing is touched before the lock, and nothing is forked before what an
earlier supervisor left is gone. A successor of this program founds nothing: it takes over what it was left.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from dataclasses import dataclass

import msgspec
from loguru import logger

from supervisor import __version__
from supervisor.arbiter import listener, lock, slot_uids, sweep
from supervisor.arbiter.handover import FORMAT, Handover, LeftBroker, LeftFleet, LeftGateway, LeftOrphans
from supervisor.arbiter.listener import Listener
from supervisor.arbiter.slot import SCOREBOARD_PLACES
from supervisor.child import MARK_VARIABLE, Upgraded
from supervisor.config import Settings
from supervisor.core.errors import SettingsError, unusable
from supervisor.paths import Paths, prepare_folders, prepare_state_dir, read_or_make_instance
from supervisor.scoreboard import Scoreboard


@dataclass(frozen=True)
class Estate:
    """`supervisor` names this daemon; `started_at` is monotonic; `upgrades` counts the programs before this one, the
    last of which was of the version `before`."""

    paths: Paths
    mark: str
    lock_fd: int
    listener: Listener
    scoreboard: Scoreboard
    supervisor: str
    started_at: float
    upgrades: int = 0
    before: str = ""

    @property
    def upgrade(self) -> Upgraded | None:
        """The last one, if there was any."""
        return Upgraded(self.upgrades, self.before) if self.upgrades else None

    def leave(
        self,
        settings: Settings,
        fleet: LeftFleet,
        broker: LeftBroker | None,
        gateway: LeftGateway | None,
        orphans: LeftOrphans,
        said_ready: bool,
        request: int,
    ) -> Handover:
        """Everything that a successor of this program must know, as of now."""
        return Handover(
            format=FORMAT,
            version=__version__,
            pid=os.getpid(),
            supervisor=self.supervisor,
            started_at=self.started_at,
            upgrades=self.upgrades,
            said_ready=said_ready,
            settings=msgspec.Raw(msgspec.json.encode(settings)),
            socket_identity=self.listener.identity,
            lock=self.lock_fd,
            listener=self.listener.socket.fileno(),
            scoreboard=self.scoreboard.fd,
            fleet=fleet,
            broker=broker,
            gateway=gateway,
            orphans=orphans,
            request=request,
        )

    def dissolve(self) -> None:
        """Removes what would be left behind outside of the state folder."""
        self.listener.unlink()
        if self.paths.work_dir is not None:
            try:
                os.rmdir(self.paths.work_dir)
            except OSError:
                pass


def found(settings: Settings) -> Estate:
    """Takes the folder, cleans up, binds. Raises SupervisorError."""
    try:
        paths, lock_fd, mark = _take_folder(Paths(settings.state_dir, settings.socket))
    except OSError as error:
        raise unusable(f"{error.filename or settings.state_dir} cannot be used", error) from error
    _sweep(mark)
    slot_uids.check(settings.slot_uid_base, sum(pool.replicas for pool in settings.pools.values()))
    _mark_jobs(mark)
    return Estate(
        paths=paths,
        mark=mark,
        lock_fd=lock_fd,
        listener=listener.bind(paths.socket, settings.socket_group),
        scoreboard=Scoreboard(SCOREBOARD_PLACES),
        supervisor=secrets.token_hex(8),
        started_at=time.monotonic(),
    )


def inherit(left: Handover, settings: Settings) -> Estate:
    """Takes over what the program before this one had; `settings` are those that it went by. Raises SupervisorError."""
    try:
        paths = prepare_folders(Paths(settings.state_dir, settings.socket), as_root=os.geteuid() == 0)
        mark = read_or_make_instance(paths)
        scoreboard = Scoreboard.inherit(left.scoreboard)
    except OSError as error:
        raise unusable(f"{error.filename or settings.state_dir} cannot be used", error) from error
    except ValueError as error:
        raise SettingsError(f"the scoreboard cannot be taken over: {error}") from error
    _mark_jobs(mark)
    return Estate(
        paths=paths,
        mark=mark,
        lock_fd=left.lock,
        listener=Listener(socket.socket(fileno=left.listener), paths.socket, left.socket_identity),
        scoreboard=scoreboard,
        supervisor=left.supervisor,
        started_at=left.started_at,
        upgrades=left.upgrades + 1,
        before=left.version,
    )


def _mark_jobs(mark: str) -> None:
    """For what the workers start. The daemon's own processes were not started with it: no sweep takes them for jobs."""
    os.environ[MARK_VARIABLE] = mark


def _take_folder(paths: Paths) -> tuple[Paths, int, str]:
    """The folders, made and checked; the fd of the lock; the instance's id. Nothing else is touched before the lock."""
    prepare_state_dir(paths)
    lock_fd = lock.acquire(paths.lock)
    paths = prepare_folders(paths, as_root=os.geteuid() == 0)
    return paths, lock_fd, read_or_make_instance(paths)


def _sweep(mark: str) -> None:
    killed, survivors = sweep.kill_leftovers(mark)
    if killed:
        logger.warning("killed {} processes that an earlier supervisor had left", killed)
    if survivors:
        logger.error("{} processes of an earlier supervisor cannot be killed", survivors)
