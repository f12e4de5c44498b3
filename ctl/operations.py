"""A client's methods for the daemon itself: how it is, what happens in it, and what it shall do.

Raises WorkerctlErrors. Of what it starts it waits for nothing: `ctl.settling` does that.
"""

from __future__ import annotations

import os

from ctl.errors import NoDaemon
from ctl.job import id_of
from ctl.session import Asking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ctl.follow import Event
    from ctl.jobs import AnyJob

UPGRADE_S = 330.0
"""How long the answer to an upgrade may take: the new code is given five minutes to show that it is fit."""


class Operations(Asking):
    """The daemon, its workers and its queues."""

    def status(self) -> dict[str, Any]:
        """`{version, pid, uptime_s, state, jobs: {state: number}, workers: […], isolation: {…}}`."""
        status: dict[str, Any] = self._ask("status")
        return status

    def workers(self) -> list[dict[str, Any]]:
        """Each worker slot: `{name, pool, state, pid, job, last_beat_s, done, failed, busy_s, restarts, reasons, …}`."""
        workers: list[dict[str, Any]] = self._ask("workers")["workers"]
        return workers

    def stats(self) -> dict[str, Any]:
        """`{jobs, queues, pools, finished, times, failures}`: totals, throughput, times, causes of failure."""
        stats: dict[str, Any] = self._ask("stats")
        return stats

    def events(
        self, *, job: AnyJob | None = None, after: int | None = None, limit: int | None = None, follow: bool = False
    ) -> Iterator[Event]:
        """What happened to jobs, workers and the daemon, oldest first: after a cursor, or the newest `limit`.

        `follow` goes on without end, through restarts; `limit` is then how many old ones it begins with.
        """
        from ctl import events

        which = events.follow if follow else events.past
        return which(self._session, None if job is None else id_of(job), after, limit)

    def health(self) -> dict[str, Any]:
        """`{"status": "healthy"|"degraded", "reasons": […]}`."""
        health: dict[str, Any] = self._ask("health")
        return health

    def doctor(self) -> dict[str, Any]:
        """The daemon's checks of itself: `{checks: [{name, status: ok|warn|fail|skipped, found, remedy}]}`."""
        checks: dict[str, Any] = self._ask("doctor")
        return checks

    def token(self, role: str = "write") -> dict[str, Any]:
        """The bearer token of HTTP for a role (`read`, `write`), or the key of webhooks; with the gateway's address."""
        token: dict[str, Any] = self._ask("token", {"role": role})
        return token

    def pause(self, *queues: str) -> dict[str, Any]:
        """Lets nothing more of these queues start, or (none named) of any: `{changed, paused}`."""
        paused: dict[str, Any] = self._ask("pause", {"queues": [*queues]})
        return paused

    def resume(self, *queues: str) -> dict[str, Any]:
        """Lets jobs of these queues start again, or (none named) of all: `{changed, paused}`."""
        paused: dict[str, Any] = self._ask("resume", {"queues": [*queues]})
        return paused

    def scale(self, pool: str, replicas: int) -> dict[str, Any]:
        """Gives a pool so many workers: `{pool, before, replicas}`. Raises InvalidRequest for a pool there is not."""
        scaled: dict[str, Any] = self._ask("scale", {"pool": pool, "replicas": replicas})
        return scaled

    def restart(self, pool: str | None = None) -> list[str]:
        """Begins to replace the workers of a pool, or of all, one at a time; returns their names."""
        names: list[str] = self._ask("restart", {} if pool is None else {"pool": pool})["workers"]
        return names

    def reload(self) -> dict[str, Any]:
        """Has the settings read again: `{changed, needs_restart, pools: {added, removed, renewed}, replicas, workers}`.

        Raises InvalidRequest (`bad_settings`) if they are wrong; then nothing has changed.
        """
        done: dict[str, Any] = self._ask("reload")
        return done

    def upgrade(self, python: str | None = None) -> dict[str, Any]:
        """Has the daemon go over to the code of the interpreter `python` (default: of its own), in place:
        `{before, version}`. Broker and workers follow by themselves; `status()["upgrade"]` is None when all have.

        Raises NotAllowed (`preflight_failed`) if the new code is not fit; then nothing has changed.
        """
        fields = {} if python is None else {"python": python}
        # Of a connection that has broken since it was last used nobody could tell whether this was done.
        self._session.close()
        done: dict[str, Any] = self._session.call("upgrade", fields, repeat=False, insist=False, answer_s=UPGRADE_S)
        return done

    def drain(self, *, on: bool = True) -> dict[str, Any]:
        """Has no more jobs started, or (`on=False`) started again: `{state, running}`. Waits for nothing."""
        drained: dict[str, Any] = self._ask("drain", {"on": on})
        return drained

    def stop(self) -> str:
        """Stops the daemon: running jobs may finish within its time-out. Returns `stopping`."""
        try:
            return str(self._session.call("stop", {}, insist=False)["state"])
        except NoDaemon as error:
            if error.repeated or error.code == "stopping":
                return "stopping"
            raise

    def backup(self, file: str | os.PathLike[str], *, force: bool = False) -> int:
        """Writes a copy of the queue to `file`, which appears whole or not at all; returns its size in bytes.

        Raises InvalidRequest where it is there already, unless `force`.
        """
        from ctl.backup import save_backup

        return save_backup(self._session, os.fspath(file), force=force)
