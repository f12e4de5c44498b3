"""Events that belong to no job: what happened to the workers and to the daemon. Their `job` and `state` are NULL.

Invariant: of one incarnation one start and one end are recorded, however often a broker hears of them. What they
mean is in `core.names.EVENTS`.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from supervisor.core.names import EVENTS
from supervisor.store.batch import Tx
from supervisor.store.tallies import count_restart

WorkerEnd = Literal["worker_died", "worker_recycled", "worker_stopped"]

REMEMBERED: Final = 1000
"""Only so many of the newest are searched for one that was recorded before: what a broker hears again is recent."""
ALREADY: Final = """
    SELECT 1 FROM (
        SELECT kind, data FROM events INDEXED BY events_job WHERE job IS NULL ORDER BY id DESC LIMIT :remembered
    )
    WHERE kind IN (:kind, :or_kind, :or_else) AND json_extract(data, :member) = :value LIMIT 1
"""


def record_event(tx: Tx, kind: str, data: dict[str, Any]) -> None:
    """Records an event of the daemon; `kind` stands in EVENTS. `data["message"]` is for people."""
    assert kind in EVENTS, f"{kind} is not in core.names.EVENTS"
    tx.emit(None, kind, None, None, data)


def record_daemon_start(
    tx: Tx, *, supervisor: str, pid: int, version: str, restarted: bool, upgrade: tuple[int, str] | None = None
) -> None:
    """The daemon has started; or (`restarted`) only its broker has started again.

    `upgrade`: how often the daemon has gone over to new code, and from which version. Told once for each time.
    """
    data = {"supervisor": supervisor, "pid": pid, "version": version}
    if upgrade is not None and not _already(tx, ("daemon_upgraded",), "program", f"{supervisor}-{upgrade[0]}"):
        program = {"program": f"{supervisor}-{upgrade[0]}", "message": f"version {upgrade[1]} -> {version}"}
        record_event(tx, "daemon_upgraded", data | program)
    elif restarted:
        record_event(tx, "broker_restarted", data)
    elif not _already(tx, ("daemon_started",), "supervisor", supervisor):
        record_event(tx, "daemon_started", data | {"message": f"version {version}"})


def record_worker_start(tx: Tx, *, worker: str, incarnation: str, pid: int, isolation: str) -> None:
    """A worker is there and can take jobs."""
    if not _already(tx, ("worker_started",), "incarnation", incarnation):
        data = {"worker": worker, "incarnation": incarnation, "pid": pid, "isolation": isolation}
        record_event(tx, "worker_started", data)


def record_worker_end(tx: Tx, *, worker: str, incarnation: str, kind: WorkerEnd, reason: str, cause: str) -> None:
    """A worker process is over; unless it was stopped for good, that is a restart of its slot for `reason`."""
    if _already(tx, ("worker_died", "worker_recycled", "worker_stopped"), "incarnation", incarnation):
        return
    data = {"worker": worker, "incarnation": incarnation, "reason": reason, "message": cause}
    record_event(tx, kind, data)
    if kind != "worker_stopped":
        count_restart(tx, worker, reason)


def _already(tx: Tx, kinds: tuple[str, ...], member: str, value: str) -> bool:
    kind, or_kind, or_else = (*kinds, *kinds, *kinds)[:3]
    asked = {"kind": kind, "or_kind": or_kind, "or_else": or_else, "member": f"$.{member}", "value": value}
    return tx.conn.execute(ALREADY, asked | {"remembered": REMEMBERED}).fetchone() is not None
