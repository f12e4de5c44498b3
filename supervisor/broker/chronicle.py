"""What happens to the daemon and its workers, written down for `events` and `workers`.

Invariant: it is written with what it tells, in one transaction. On a disk that stays full the word of it is given up,
never the thing itself: an attempt is ended all the same, and the broker starts.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from loguru import logger

from supervisor import __version__
from supervisor.broker.commit import Committer
from supervisor.child import Upgraded
from supervisor.core.errors import RequestError
from supervisor.store import (
    LossReason,
    Tx,
    WorkerEnd,
    lose,
    record_daemon_start,
    record_event,
    record_worker_end,
    record_worker_start,
    release_unheld,
)
from supervisor.wire.lease import Attach
from supervisor.wire.tree import Exited


async def daemon_started(
    committer: Committer, supervisor: str, *, restarted: bool, upgrade: Upgraded | None = None
) -> None:
    """The daemon has started, or (`restarted`) another broker, perhaps the first after an upgrade."""
    start = partial(
        record_daemon_start,
        supervisor=supervisor,
        pid=os.getppid(),
        version=__version__,
        restarted=restarted,
        upgrade=None if upgrade is None else (upgrade.number, upgrade.before),
    )
    try:
        await committer.run(start, essential=True)
    except RequestError as error:
        logger.warning("the start could not be recorded: {}", error)


async def daemon_stopped(committer: Committer) -> None:
    """The daemon stops in order."""
    try:
        await committer.run(lambda tx: record_event(tx, "daemon_stopped", {}), essential=True)
    except RequestError as error:
        logger.warning("the stop could not be recorded: {}", error)


async def worker_attached(committer: Committer, attach: Attach, pid: int) -> None:
    """A worker is there; what was leased to it and never arrived is given back."""
    unheld = partial(release_unheld, incarnation=attach.incarnation, holding=attach.holding)

    def call(tx: Tx) -> None:
        unheld(tx)
        record_worker_start(
            tx, worker=attach.worker, incarnation=attach.incarnation, pid=pid, isolation=attach.isolation
        )

    try:
        await committer.run(call, essential=True)
    except RequestError as error:
        await committer.run(unheld, essential=True)
        logger.warning("the start of worker {} could not be recorded: {}", attach.worker, error)


async def worker_exited(committer: Committer, exited: Exited) -> list[int]:
    """A worker is gone: what it ran is lost; returns the jobs concerned."""
    reason: LossReason = "worker_lost" if exited.tree_gone else "stuck"
    message = f"its worker {exited.worker} {exited.cause}"
    lost = partial(
        lose,
        incarnation=exited.incarnation,
        reason=reason,
        message=message,
        started=exited.started,
        died=kind_of(exited) == "worker_died",
    )

    def call(tx: Tx) -> list[int]:
        jobs = lost(tx)
        record_worker_end(
            tx,
            worker=exited.worker,
            incarnation=exited.incarnation,
            kind=kind_of(exited),
            reason=exited.reason,
            cause=exited.cause,
        )
        return jobs

    try:
        return await committer.run(call, essential=True)
    except RequestError as error:
        jobs = await committer.run(lost, essential=True)
        logger.warning("the end of worker {} could not be recorded: {}", exited.worker, error)
        return jobs


def kind_of(exited: Exited) -> WorkerEnd:
    """Which event it is."""
    if not exited.replaced:
        return "worker_stopped"
    return "worker_recycled" if exited.how in ("left", "recycled") else "worker_died"


def record_reload(changes: dict[str, Any], tx: Tx) -> None:
    """The settings were read again."""
    pools = (f"pool {name}" for change in ("added", "removed") for name in changes["pools"][change])
    names = [*changes["changed"], *pools]
    record_event(tx, "settings_reloaded", changes | {"message": f"changed: {', '.join(names) or 'nothing'}"})
