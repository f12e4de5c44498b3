"""Staying with a job until it is final: its output to our output, byte for byte, and its end as our exit code."""

from __future__ import annotations

from ctl import exits
from ctl.console import STDERR, STDOUT
from ctl.errors import WorkerctlError, sentence_of
from ctl.follow import Output
from ctl.interrupt import CancelOnInterrupt
from ctl.progress import JobBar, WaitBar

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from ctl.client import Client
    from ctl.console import Console
    from ctl.job import Job, Submitted

FD_OF = {"stdout": STDOUT, "stderr": STDERR}


def submit_and_stay(
    client: Client,
    console: Console,
    options: argparse.Namespace,
    submit: Callable[[], Submitted],
    *,
    output: bool,
) -> int:
    """Submits, stays, and returns the exit code of `run`. With --json, stdout has the final job and nothing else."""
    job: int | None = None
    with CancelOnInterrupt(console, options.socket) as interrupt:
        try:
            job = submit().id
            interrupt.watch(job)
            final = copy_output(client, console, job) if output and not console.json else _wait(client, console, job)
            if console.json:
                final = client.show(job)
                console.print_json(final.raw)
        except KeyboardInterrupt:
            if job is not None:
                how = "is being cancelled" if interrupt.cancelled else "may go on"
                console.complain(f"left; job {job} {how}: `workerctl show {job}`")
            return exits.INTERRUPTED
        except BrokenPipeError:
            raise
        except (WorkerctlError, OSError) as error:
            console.complain(error.message if isinstance(error, WorkerctlError) else sentence_of(error))
            if job is not None:
                console.complain(f"job {job} is not lost by that: `workerctl follow {job}`")
            return exits.NO_STATUS
        print_verdict(console, final)
        return exits.INTERRUPTED if interrupt.happened else exits.of_run(final)


def copy_output(client: Client, console: Console, job: int) -> Job:
    """Copies the job's output until it is final; returns it whole."""
    with JobBar(console, job) as bar:
        for item in client.follow(job):
            if isinstance(item, Output):
                console.write(FD_OF[item.stream], item.data)
                bar.redraw()
            else:
                bar.hear(item)
    return client.show(job)


def _wait(client: Client, console: Console, job: int) -> Job:
    with WaitBar(console, client, [job]):
        return client.wait(job)


def print_verdict(console: Console, job: Job) -> None:
    """How it ended, as the last line on stderr; of a success only to a terminal."""
    if not job.ok:
        console.complain(verdict(job))
    elif console.err_is_terminal:
        console.say(verdict(job))


def verdict(job: Job) -> str:
    """`job 42 failed: memory_limit: killed at 512 MiB: raise it with --memory`."""
    parts = [f"job {job.id} {job.state}", None if job.ok else job.reason, job.message]
    return ": ".join(part.replace("\n", " ") for part in parts if part and part != job.state)
