"""Mode `fresh`: one process a job, forked from a runner that has imported the module and has set nothing up.

Invariant: the status of a job's process is read by the one that forked it, and told only when nothing that it left
behind is alive. The runner itself never runs the handler, and SIGTERM does not reach it: it is blocked until the fork.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, Final, NoReturn

from supervisor.runner.handler import Context, Job, JobWorker
from supervisor.runner.performing import perform_once
from supervisor.runner.streams import Streams
from supervisor.runner.talk import Talk
from supervisor.sandbox import syscalls
from supervisor.sandbox.tree import SubreaperTree

_FAILED: Final = 1
_PAUSE_S: Final = 0.002
_STUCK_AFTER_S: Final = 5.0
EXIT_STUCK: Final = 71

Do = Callable[[dict[str, Any]], int]


def serve(talk: Talk, streams: Streams, types: list[str], do: Do) -> None:
    """Forks a process for each job until the worker says stop, or is gone. `do` runs in it: its exit status."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    syscalls.become_subreaper()
    # What is there now stays: a collection in a job's process would copy the pages that it shares with this one.
    gc.collect()
    gc.freeze()
    me = os.getpid()
    talk.ready(types)
    while True:
        order, fds = talk.hear()
        if order is None or order["do"] == "stop":
            return
        streams.flush()
        pid = os.fork()
        if pid == 0:
            _become(me, streams, fds)
            sys.exit(do(order))
        for fd in fds:
            os.close(fd)
        if signal.SIGTERM in signal.sigpending():
            os.kill(pid, signal.SIGTERM)  # it came before the fork; our own child, not reaped yet
        _await(talk, order["lease"], pid)


def do_one(talk: Talk, found: type[JobWorker], job: Job, context: Context, lease: int) -> int:
    """The whole life of a handler for one job; the exit status of its process, which ends as Python processes do."""
    answer = perform_once(found, job, context)
    talk.answer(lease, answer)
    return _FAILED if answer.re == "raised" else 0


def _become(parent: int, streams: Streams, fds: list[int]) -> None:
    syscalls.die_with_parent()
    if os.getppid() != parent:
        _vanish()
    streams.to_job(fds)


def _vanish() -> NoReturn:
    os._exit(_FAILED)


def _await(talk: Talk, lease: int, pid: int) -> None:
    """Waits for the job's process, then kills whatever it left, and tells."""
    _, status, usage = os.wait4(pid, 0)
    leftover = _sweep()
    talk.tell(
        re="ended",
        lease=lease,
        status=status,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_bytes=usage.ru_maxrss << 10,
        leftover=leftover,
        rss_bytes=talk.rss_bytes(),
    )


def _sweep() -> int:
    """Kills what is left of a job's tree, all of which has become ours; how many. Ends the runner if it cannot."""
    tree = SubreaperTree()
    found = 0
    deadline = time.monotonic() + _STUCK_AFTER_S
    while True:
        found += sum(os.WIFSIGNALED(gone.status) for gone in tree.reap())
        if not tree.has_children:
            return found
        if time.monotonic() > deadline:
            os._exit(EXIT_STUCK)
        tree.kill()
        time.sleep(_PAUSE_S)
