"""`workerctl follow`: watches a job until it is final."""

from __future__ import annotations

from ctl import exits
from ctl.attach import FD_OF, print_verdict
from ctl.follow import Output
from ctl.targets import add_job, job_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ctl.client import Client
    from ctl.console import Console
    from ctl.follow import Event

DESCRIPTION = """\
Copies a job's output from its beginning (stdout to stdout, stderr to stderr) and tells on stderr what happens to
it, until it is final. Exit code 0 if it completed, else 1. Ctrl-C only ends the watching. With --json, each event
and piece of output is a line."""
EXAMPLES = ("workerctl follow 42", "workerctl follow --json @last", "workerctl follow -q 42 > out.txt 2> err.txt")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    add_job(parser)


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Watches it."""
    job = job_id(client, options.job)
    try:
        for item in client.follow(job):
            if console.json:
                console.print_json(item.raw)
            elif isinstance(item, Output):
                console.write(FD_OF[item.stream], item.data)
            else:
                console.say(told(item))
        final = client.show(job)
    except KeyboardInterrupt:
        console.complain(f"detached; job {job} goes on: `workerctl follow {job}`")
        return exits.INTERRUPTED
    if not console.json:
        print_verdict(console, final)
    return exits.of_jobs([final])


def told(event: Event) -> str:
    """`job 42: running, attempt 1`; `job 42: progress 40 %, parsing`."""
    data = event.data
    details: list[object] = []
    if event.attempt is not None and event.event != "progress":
        details.append(f"attempt {event.attempt}")
    if isinstance(data.get("percentage"), int | float):
        details.append(f"{data['percentage']:g} %")
    details += [
        data[name] for name in ("stage", "reason", "message") if data.get(name) not in (None, "ok", event.event)
    ]
    subject = f"worker {data['worker']}" if event.job is None and "worker" in data else "daemon"
    if event.job is not None:
        subject = f"job {event.job}"
    return ", ".join([f"{subject}: {event.event}", *(str(detail) for detail in details if detail)])
