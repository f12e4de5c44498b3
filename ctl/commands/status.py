"""`workerctl status`: the daemon at a glance, or the named jobs. Also what `workerctl` alone does."""

from __future__ import annotations

from ctl.columns import WIDE
from ctl.console import escape
from ctl.job_columns import JOBS
from ctl.queues import EVERY_QUEUE
from ctl.table import print_flow, print_table
from ctl.targets import add_job, job_ids
from supervisor.core.units import format_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any

    from ctl.client import Client
    from ctl.console import Console

RECENT_JOBS = 10
DESCRIPTION = """\
The daemon at a glance: how it is, its workers, and the newest jobs; or with JOB a table of these. Queues are shown that
are paused or capped. -o wide shows more of all, also the other queues. The other options are of the table of jobs."""
EXAMPLES = ("workerctl", "workerctl status 42 @last", "workerctl status -o wide", "workerctl status --json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    add_job(parser, many="*")
    JOBS.add_options(parser)


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Prints the status."""
    JOBS.check(options)
    if options.jobs:
        return _jobs(client, console, options)
    status = client.status()
    if console.json:
        console.print_json(status)
    elif console.quiet:
        for worker in status["workers"]:
            if worker.get("job") is not None:
                console.print(str(worker["job"]))
    else:
        _print_daemon(console, status, options)
        recent = JOBS.sorted(client.list(limit=RECENT_JOBS), options)
        if recent:
            console.print("")
            JOBS.print(console, recent, options)
    return 0


def _jobs(client: Client, console: Console, options: argparse.Namespace) -> int:
    jobs = JOBS.sorted([client.show(job) for job in job_ids(client, options.jobs)], options)
    if console.json:
        console.print_json([job.raw for job in jobs])
    elif console.quiet:
        for job in jobs:
            console.print(str(job.id))
    else:
        JOBS.print(console, jobs, options)
    return 0


def _print_daemon(console: Console, status: dict[str, Any], options: argparse.Namespace) -> None:
    is_wide = options.columns == WIDE
    isolation = status.get("isolation") or {}
    state = escape(status["state"])
    print_flow(
        console,
        [
            (f"worker-supervisor {escape(status['version'])}", None),
            (state, state),
            (f"pid {escape(status['pid'])}", None),
            (f"up {format_duration(status['uptime_s'])}", None),
            (f"isolation {escape(isolation.get('level', '-'))}", None),
        ],
    )
    upgrade = status.get("upgrade")
    if upgrade is not None:
        console.print(_upgrade_line(upgrade, status["version"]))
    counts = [(f"{number} {state}", state if number else None) for state, number in status["jobs"].items()]
    print_flow(console, [("jobs", None), *counts])
    if EVERY_QUEUE in status.get("paused", ()):
        console.print(f"all queues are {console.paint('paused')}: `workerctl resume` ends that")
    _print_queues(console, status.get("queues") or [], options)
    if status.get("synchronous", "full") != "full":
        console.print(f"synchronous {escape(status['synchronous'])}: a power loss may undo what was acknowledged last")
    for kind, state in (isolation.get("prestart") or {}).items():
        if state.startswith("off: ") and not state.endswith(" is 0"):
            console.print(f"{escape(kind)} is not pre-started: {escape(state.removeprefix('off: '))}")
    if status["workers"]:
        columns = WORKER_COLUMNS | WIDE_WORKER_COLUMNS if is_wide else WORKER_COLUMNS
        rows = [[cell(worker) for cell in columns.values()] for worker in status["workers"]]
        console.print("")
        print_table(console, [*columns], rows, headers=not options.no_headers, whole=is_wide)


def _upgrade_line(upgrade: dict[str, Any], version: str) -> str:
    if upgrade["state"] == "checking":
        return "upgrade: the new code is being checked; nothing has changed yet"
    left = [f"{upgrade['workers_left']} workers"] if upgrade["workers_left"] else []
    left += ["the broker"] if upgrade["broker_left"] else []
    return escape(f"upgrade: {upgrade['before']} -> {version}; of the older version: {', '.join(left) or 'none'}")


def _state(worker: dict[str, Any]) -> str:
    renewal = worker.get("renewal")
    if not renewal:
        return str(worker["state"])
    # That an older version is still there is the news of an upgrade.
    version = f", {worker['version']}" if renewal == "upgrade" and worker.get("version") else ""
    return f"{worker['state']} ({renewal} due{version})"


WORKER_COLUMNS: dict[str, Callable[[dict[str, Any]], object]] = {
    "WORKER": lambda worker: worker["name"],
    "STATE": _state,
    "PID": lambda worker: worker.get("pid"),
    "JOB": lambda worker: worker.get("job"),
    "DONE": lambda worker: worker.get("done"),
    "SPARE": lambda worker: worker.get("spare"),
}
WIDE_WORKER_COLUMNS: dict[str, Callable[[dict[str, Any]], object]] = {
    "POOL": lambda worker: worker.get("pool"),
    "VERSION": lambda worker: worker.get("version"),
    "RESTARTS": lambda worker: worker.get("restarts"),
    "LAST EXIT": lambda worker: worker.get("last_exit"),
    "NOTE": lambda worker: worker.get("note"),
}


def _print_queues(console: Console, queues: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Those about which something is special; all with `-o wide`."""
    special = queues if options.columns == WIDE else [queue for queue in queues if _is_special(queue)]
    if not special:
        return
    rows = [
        [
            queue["name"],
            "paused" if queue["paused"] else "open",
            _with_cap(sum(queue["jobs"].get(state, 0) for state in ("scheduled", "queued")), queue["max_queued"]),
            _with_cap(queue["jobs"].get("running", 0), queue["max_running"]),
        ]
        for queue in special
    ]
    console.print("")
    print_table(console, ["QUEUE", "STATE", "WAITING", "RUNNING"], rows, headers=not options.no_headers)


def _is_special(queue: dict[str, Any]) -> bool:
    return bool(queue["paused"] or queue["max_queued"] is not None or queue["max_running"])


def _with_cap(number: int, cap: int | None) -> str:
    return str(number) if cap is None else f"{number} of {cap}"
