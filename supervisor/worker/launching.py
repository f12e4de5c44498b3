"""Starts a handler's runner in a slot, with its end of the conversation as descriptor 3."""

from __future__ import annotations

import os
import socket

from supervisor.child import WorkerContext
from supervisor.runtime.handler import account_of, plan_runner
from supervisor.sandbox import Launch, Slot
from supervisor.worker.said import LARGEST


def launch_runner(slot: Slot, job_dir: str, context: WorkerContext, mark: dict[str, str], output: int) -> socket.socket:
    """Our end of the conversation. What the runner writes outside of jobs goes to `output`."""
    pool = context.pool
    plan = plan_runner(pool, context.name, account_of(pool), os.environ, mark)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        slot.start(
            Launch(
                argv=plan.argv,
                env=plan.env,
                cwd=job_dir,
                rlimits=plan.rlimits,
                stdin=nothing,
                stdout=output,
                stderr=output,
                channel=theirs.fileno(),
                memory_bytes=pool.limits.memory_bytes,
            )
        )
    except BaseException:
        ours.close()
        raise
    finally:
        os.close(nothing)
        theirs.close()
    return ours
