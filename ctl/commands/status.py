"""`workerctl status`: the daemon at a glance, or the named jobs. Also what `workerctl` alone does."""

from __future__ import annotations

from ctl.columns import USUAL, print_jobs
from ctl.console import escape
from ctl.queues import EVERY_QUEUE
from ctl.table import print_table
from ctl.targets import add_job, job_ids
from supervisor.core.units import format_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ctl.client import Client
    from ctl.console import Console

RECENT_JOBS = 10
EXAMPLES = ("workerctl", "workerctl status 42 @last", "workerctl status --json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    add_job(parser, many="*")


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Prints the status."""
    if options.jobs:
        return _jobs(client, console, options.jobs)
    status = client.status()
    if console.json:
        console.print_json(status)
    elif console.quiet:
        for worker in status["workers"]:
            if worker.get("job") is not None:
                console.print(str(worker["job"]))
    else:
        _print_daemon(console, status)
        recent = client.list(limit=RECENT_JOBS)
        if recent:
            console.print("")
            print_jobs(console, recent)
    return 0


def _jobs(client: Client, console: Console, words: list[str]) -> int:
    jobs = [client.show(job) for job in job_ids(client, words)]
    if console.json:
        console.print_json([job.raw for job in jobs])
    elif console.quiet:
        for job in jobs:
            console.print(str(job.id))
    else:
        print_jobs(console, jobs, USUAL)
    return 0


def _print_daemon(console: Console, status: dict[str, Any]) -> None:
    isolation = status.get("isolation") or {}
    state = escape(status["state"])
    console.print(
        f"worker-supervisor {escape(status['version'])}  {console.paint(state)}  pid {escape(status['pid'])}  "
        f"up {format_duration(status['uptime_s'])}  isolation {escape(isolation.get('level', '-'))}"
    )
    upgrade = status.get("upgrade")
    if upgrade is not None:
        console.print(_upgrade_line(upgrade, status["version"]))
    counts = [f"{number} {console.paint(state) if number else state}" for state, number in status["jobs"].items()]
    console.print("jobs  " + "  ".join(counts))
    if EVERY_QUEUE in status.get("paused", ()):
        console.print(f"all queues are {console.paint('paused')}: `workerctl resume` ends that")
    _print_queues(console, status.get("queues") or [])
    if status.get("synchronous", "full") != "full":
        console.print(f"synchronous {escape(status['synchronous'])}: a power loss may undo what was acknowledged last")
    workers = [
        [worker["name"], _state(worker), worker.get("pid"), worker.get("job"), worker.get("done"), worker.get("spare")]
        for worker in status["workers"]
    ]
    for kind, state in (isolation.get("prestart") or {}).items():
        if state.startswith("off: ") and not state.endswith(" is 0"):
            console.print(f"{escape(kind)} is not pre-started: {escape(state.removeprefix('off: '))}")
    if workers:
        console.print("")
        print_table(console, ["WORKER", "STATE", "PID", "JOB", "DONE", "SPARE"], workers)


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


def _print_queues(console: Console, queues: list[dict[str, Any]]) -> None:
    """Those about which something is special."""
    special = [queue for queue in queues if queue["paused"] or queue["max_queued"] is not None or queue["max_running"]]
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
    print_table(console, ["QUEUE", "STATE", "WAITING", "RUNNING"], rows)


def _with_cap(number: int, cap: int | None) -> str:
    return str(number) if cap is None else f"{number} of {cap}"
