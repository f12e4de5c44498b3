"""The runner's life: import the handler, set it up, do one job after the other, tear it down.

Descriptor 3 is the conversation with the worker. Invariant: nothing of the daemon is inherited but that; SIGTERM means
that the job shall end, and never ends the runner while it is at work. Never decides about time or limits.
"""

from __future__ import annotations

import json
import logging
import signal
import socket
import sys
import traceback
from dataclasses import dataclass
from typing import Any, Final

from supervisor.runner import fresh
from supervisor.runner.handler import Context, Job, JobWorker
from supervisor.runner.loading import BadHandler, load, types_of
from supervisor.runner.performing import perform, sentence
from supervisor.runner.streams import Streams
from supervisor.runner.talk import Talk
from supervisor.sandbox.title import Title

CHANNEL: Final = 3
_BROKEN: Final = 1


@dataclass(frozen=True, slots=True)
class Orders:
    """What the worker says at the start, as JSON: which handler, where its modules are, how, and what ps shows."""

    handler: str
    python_path: list[str]
    mode: str
    title: str


class Termination:
    """SIGTERM as a flag that a job can look at. It is never lowered: whoever sends it ends this process afterwards, and
    one that comes before its job would be lost."""

    def __init__(self) -> None:
        self.came = False

    def listen(self) -> None:
        """From now on the signal is this."""
        signal.signal(signal.SIGTERM, self._note)

    def _note(self, *_: object) -> None:
        self.came = True


def main(told: str) -> None:
    """Until the worker says stop, or is gone."""
    orders = Orders(**json.loads(told))
    Title().show(orders.title)
    sys.argv = [orders.handler]
    channel = socket.socket(fileno=CHANNEL)
    channel.set_inheritable(False)
    talk, streams = Talk(channel), Streams()
    instance: JobWorker | None = None
    try:
        found = load(orders.handler, orders.python_path)
        types = types_of(found)
        if orders.mode == "resident":
            instance = found()
            instance.setup()
    except BaseException as error:  # also SystemExit of a module: whoever started us wants to know
        traceback.print_exc()
        talk.tell(re="broken", message=str(error) if isinstance(error, BadHandler) else sentence(error))
        sys.exit(_BROKEN)
    log = job_log()
    if instance is not None:
        _Resident(talk, streams, log, instance).serve(types)
    else:
        fresh.serve(talk, streams, types, lambda order: _do_fresh(talk, log, found, order))


class _Resident:
    """One instance for all jobs."""

    def __init__(self, talk: Talk, streams: Streams, log: logging.Logger, instance: JobWorker) -> None:
        self._talk = talk
        self._streams = streams
        self._log = log
        self._instance = instance
        self._termination = Termination()

    def serve(self, types: list[str]) -> None:
        self._termination.listen()
        self._talk.ready(types)
        while True:
            order, fds = self._talk.hear()
            if order is None or order["do"] == "stop":
                break
            self._streams.to_job(fds)
            context = context_for(self._talk, self._log, self._termination)
            answer = perform(self._instance, job_of(order), context)
            self._streams.to_idle()
            self._talk.answer(order["lease"], answer)
        self._instance.teardown()


def _do_fresh(talk: Talk, log: logging.Logger, found: type[JobWorker], order: dict[str, Any]) -> int:
    termination = Termination()
    termination.listen()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    return fresh.do_one(talk, found, job_of(order), context_for(talk, log, termination), order["lease"])


def job_of(order: dict[str, Any]) -> Job:
    """The job of an order."""
    return Job(order["id"], order["type"], order["params"], order["attempt"], order["queue"])


def context_for(talk: Talk, log: logging.Logger, termination: Termination) -> Context:
    """A context that tells the worker."""

    def tell(percentage: float | None, stage: str | None, message: str | None) -> None:
        talk.tell(re="progress", percentage=percentage, stage=stage, message=message)

    return Context(tell, lambda: termination.came, log)


class _ToStderr(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to what sys.stderr is at that moment."""

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, _: Any) -> None:
        return


def job_log() -> logging.Logger:
    """The logger of jobs: each line with its time and level, to stderr."""
    log = logging.getLogger("supervisor.job")
    log.setLevel(logging.DEBUG)
    log.propagate = False
    handler = _ToStderr()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.handlers = [handler]
    return log
