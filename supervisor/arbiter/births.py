"""What each child is told and which descriptors it keeps; the fork itself is `spawn.py`'s."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from supervisor.arbiter import kinds as kinds_table
from supervisor.arbiter import spawn
from supervisor.arbiter.broker_link import BrokerLink
from supervisor.arbiter.kinds import Kinds
from supervisor.arbiter.listener import Listener
from supervisor.arbiter.reap import Child
from supervisor.arbiter.slot import BROKER_PLACE, WorkerSlot
from supervisor.child import BrokerContext, Upgraded, WorkerContext
from supervisor.config import Settings
from supervisor.paths import Paths
from supervisor.scoreboard import Scoreboard


@dataclass(frozen=True)
class Births:
    """`settings` gives those of the moment. `wants_vitals`: somebody hears how many jobs there are."""

    settings: Callable[[], Settings]
    kinds: Kinds
    paths: Paths
    mark: str
    lock_fd: int
    listener: Listener
    scoreboard: Scoreboard
    supervisor: str
    started_at: float
    cgroup: str | None
    wants_vitals: bool
    restarted: Callable[[], bool]
    upgrade: Upgraded | None

    def broker(self, link: BrokerLink) -> Child:
        """Forks a broker at the other end of `link`."""
        context = BrokerContext(
            settings=self.settings(),
            paths=self.paths,
            listener=self.listener.socket,
            channel=link.theirs,
            scoreboard=self.scoreboard.slot(BROKER_PLACE),
            lock_fd=self.lock_fd,
            supervisor=self.supervisor,
            started_at=self.started_at,
            board=self.scoreboard,
            restarted=self.restarted(),
            upgrade=self.upgrade,
            wants_vitals=self.wants_vitals,
        )
        fds: dict[kinds_table.Descriptor, int] = {
            "lock": self.lock_fd,
            "listener": self.listener.socket.fileno(),
            "channel": link.theirs.fileno(),
        }
        return self._fork("broker", "broker", context, fds)

    def worker(self, slot: WorkerSlot) -> Child:
        """Forks the next worker of `slot`."""
        context = WorkerContext(
            settings=self.settings(),
            paths=self.paths,
            pool=slot.pool,
            name=slot.name,
            index=slot.index,
            incarnation=slot.incarnation or "",
            scoreboard=slot.scoreboard,
            lock_fd=self.lock_fd,
            mark=self.mark,
            cgroup=self.cgroup,
        )
        return self._fork("worker", f"worker {slot.name}", context, {"lock": self.lock_fd})

    def _fork(
        self,
        name: kinds_table.Name,
        role: str,
        context: BrokerContext | WorkerContext,
        fds: Mapping[kinds_table.Descriptor, int],
    ) -> Child:
        kind = self.kinds[name]
        return spawn.spawn(
            spawn.Birth(
                role=role,
                main=partial(kind.main(), context),
                fds=tuple(fds[descriptor] for descriptor in kind.fds),
                scoreboard=context.scoreboard,
                log=self.settings().log,
            )
        )
