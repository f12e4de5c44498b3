"""Watching the daemon until it has become as it was told: by its status, which waits for nobody."""

from __future__ import annotations

import time

from ctl.errors import WaitTimeout, invalid
from ctl.submission import duration_s

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from typing import Any

    from ctl.client import Client

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 0.5
READY = frozenset({"idle", "busy"})


def add_wait(parser: argparse.ArgumentParser, until: str) -> None:
    """The options --wait and --timeout."""
    parser.add_argument("--wait", action="store_true", help=until)
    parser.add_argument("--timeout", metavar="D", help="with --wait: wait at most so long (exit 124)")


def check_wait(options: argparse.Namespace) -> None:
    """Raises InvalidRequest, before anything is begun, where the two do not go together."""
    if options.timeout is None:
        return
    if not options.wait:
        raise invalid("--timeout says how long to wait: it goes with --wait")
    duration_s("timeout", options.timeout)


def statuses(client: Client, timeout: str | float | None, still: Callable[[], str]) -> Iterator[dict[str, Any]]:
    """The daemon's status, again and again; raises WaitTimeout with what is `still` to come."""
    end = None if timeout is None else time.monotonic() + duration_s("timeout", timeout)
    pause_s = FIRST_PAUSE_S
    while True:
        yield client.status()
        if end is not None and time.monotonic() + pause_s > end:
            raise WaitTimeout("wait_timeout", still())
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)


def until_renewed(client: Client, names: list[str], timeout: str | float | None) -> list[str]:
    """Waits until fresh workers are in these slots; returns a sentence for each that is parked instead.

    A slot that is not there any more is not waited for.
    """
    waiting: list[str] = []

    def still() -> str:
        return f"{', '.join(waiting)} still to be replaced; the daemon goes on with it"

    for status in statuses(client, timeout, still):
        mine = [worker for worker in status["workers"] if worker["name"] in names]
        parked = [worker for worker in mine if worker["state"] == "parked"]
        if parked:
            return [f"worker {worker['name']} is parked: {worker['note']}" for worker in parked]
        waiting = [worker["name"] for worker in mine if worker["renewal"] or worker["state"] not in READY]
        if not waiting:
            break
    return []


def until_scaled(client: Client, pool: str, replicas: int, timeout: str | float | None) -> list[str]:
    """Waits until the pool has exactly so many workers; returns a sentence for each that is parked instead."""
    mine: list[dict[str, Any]] = []

    def still() -> str:
        return f"pool {pool} has {len(mine)} workers, some busy or starting; the daemon goes on to {replicas}"

    for status in statuses(client, timeout, still):
        mine = [worker for worker in status["workers"] if worker["pool"] == pool]
        parked = [worker for worker in mine if worker["state"] == "parked"]
        if parked:
            return [f"worker {worker['name']} is parked: {worker['note']}" for worker in parked]
        if len(mine) == replicas and all(worker["state"] in READY for worker in mine):
            break
    return []


def until_upgraded(client: Client, timeout: str | float | None) -> list[str]:
    """Waits until nobody of the older code is left; returns a sentence for each slot that is parked meanwhile."""
    left = "broker and workers"

    def still() -> str:
        return f"{left} of the older version still there; the daemon goes on replacing them"

    for status in statuses(client, timeout, still):
        parked = [worker for worker in status["workers"] if worker["state"] == "parked"]
        if parked:
            return [f"worker {worker['name']} is parked: {worker['note']}" for worker in parked]
        upgrade = status["upgrade"]
        ready = all(worker["state"] in READY for worker in status["workers"])
        if upgrade is None and ready:
            break
        left = f"{upgrade['workers_left']} workers" if upgrade else "no worker"
    return []


def until_drained(client: Client, timeout: str | float | None) -> None:
    """Waits until no job runs."""
    running = 0

    def still() -> str:
        jobs = "1 job still runs" if running == 1 else f"{running} jobs still run"
        return f"{jobs}; the daemon goes on draining: `workerctl drain --end` ends that"

    for status in statuses(client, timeout, still):
        running = status["jobs"]["running"]
        if not running:
            return
