"""The blows of the campaign: SIGKILL, and SIGSTOP with a later SIGCONT, of any process of the daemon or of its jobs."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from dataclasses import dataclass, field

from tests.campaign.oracle import Oracle, processes_of_jobs
from tests.harness import Daemon, children_of, tree_of

KILLS = {"broker": 22, "worker": 26, "holder": 11, "keeper": 12, "arbiter": 9, "everything": 5, "job": 15}
STOPS = {"broker": 6, "worker": 5, "holder": 3, "keeper": 3, "arbiter": 3, "job": 4}
LONGEST_STOP_S = 0.8


@dataclass
class _Stopped:
    """A process that goes on at `until`; the pidfd keeps its number from meaning another one."""

    pidfd: int
    until: float


@dataclass
class Chaos:
    """Strikes whom the dice say, and starts the supervisor again when it was the one."""

    daemon: Daemon
    dice: random.Random
    oracle: Oracle
    mark: str
    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KILLS, 0))
    stops: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STOPS, 0))
    restarts: int = 0
    _stopped: list[_Stopped] = field(default_factory=list)

    def strike(self) -> None:
        """One blow, if there is somebody to hit."""
        self.tend()
        blows = [(name, self._kill) for name in KILLS] + [(name, self._stop) for name in STOPS]
        target, blow = self.dice.choices(blows, [*KILLS.values(), *STOPS.values()])[0]
        victims = self._victims(target)
        if victims:
            blow(target, victims)

    def tend(self) -> None:
        """What was stopped long enough goes on, and what has ended is started again."""
        self.go_on(time.monotonic())
        self._start_again()

    def go_on(self, now: float = float("inf")) -> None:
        """Continues those that have been stopped long enough; without `now`, all of them."""
        for stopped in [stopped for stopped in self._stopped if stopped.until <= now]:
            self._stopped.remove(stopped)
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(stopped.pidfd, signal.SIGCONT)
            os.close(stopped.pidfd)

    def _kill(self, target: str, victims: list[int]) -> None:
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.kills[target] += 1
        if self.daemon.pid in victims:
            assert self.daemon.process is not None
            self.daemon.process.wait(10)
            self._start_again()

    def _stop(self, target: str, victims: list[int]) -> None:
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                pidfd = os.pidfd_open(pid)
                signal.pidfd_send_signal(pidfd, signal.SIGSTOP)
                self._stopped.append(_Stopped(pidfd, time.monotonic() + self.dice.uniform(0.05, LONGEST_STOP_S)))
        self.stops[target] += 1

    def _start_again(self) -> None:
        if not self.daemon.ended():
            return
        assert self.daemon.process is not None
        # 75: five brokers in a row that were killed as soon as they were ready; it asks to be started again.
        assert self.daemon.process.returncode in (75, -signal.SIGKILL), self.daemon.process.returncode
        self.restarts += 1
        self.daemon.start()

    def _victims(self, target: str) -> list[int]:
        if target == "job":
            return self._job()
        tree = tree_of(self.daemon.pid)
        if target == "everything":
            # All of the daemon's own; a job that is killed by a stranger is a job that failed by a signal.
            return [pid for pid, name in tree.items() if name.startswith("worker-supervisor: ")]
        named = {pid for pid, name in tree.items() if f": {target}" in name}
        # Between its fork and its exec a job looks like its keeper; killing it would be killing the job.
        found = sorted(named - {child for pid in named for child in children_of(pid)})
        return [self.dice.choice(found)] if found else []

    def _job(self) -> list[int]:
        found = sorted(processes_of_jobs(self.mark))
        if not found:
            return []
        pid, job, _ = self.dice.choice(found)
        self.oracle.struck.add(job)
        return [pid]
