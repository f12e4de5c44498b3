"""The forked child of the keeper that becomes the job's program.

Invariant: it ends by exec or by _exit, and a failure is told through a close-on-exec pipe: end of file without
content means that the program runs.
Never: returns into the keeper's code; leaves a descriptor above 3 open in the program, but for its gate.
"""

from __future__ import annotations

import marshal
import os

from supervisor.sandbox import gate, levels, syscalls
from supervisor.sandbox.fault import SandboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from supervisor.sandbox.levels import Mechanism
    from supervisor.sandbox.site import Order, Room, Site

_CHANNEL = 3
_NOT_STARTED = 127


def fork(rows: tuple[Mechanism, ...], site: Site, room: Room, order: Order) -> tuple[int, int]:
    """Starts the job: its pid, and the pipe on which it says why it could not be executed."""
    order.keeper_pid = os.getpid()
    hear, tell = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _become(rows, site, room, order, tell)
    os.close(tell)
    return pid, hear


def _become(rows: tuple[Mechanism, ...], site: Site, room: Room, order: Order, tell: int) -> NoReturn:
    kind, step = "sandbox", "job"
    try:
        levels.prepare_job(rows, site, room, order)
        step = "descriptors"
        _arrange_descriptors(order.fds)
        gate.place(order.gate_fd)
        kind, step = ("exec" if order.cwd else "sandbox"), "cwd"
        os.chdir(order.cwd or room.job_dir)
        kind, step = "exec", "exec"
        syscalls.block_signals(())
        os.execve(order.argv[0], order.argv, order.env)
    except SandboxError as error:
        failure = (error.step, error.errno, error.message, kind)
    except OSError as error:
        failure = (step, error.errno or 0, _sentence(step, error, order), kind)
    except BaseException as error:  # a forked child must never return
        failure = (step, 0, repr(error), kind)
    try:
        os.write(tell, marshal.dumps(failure))
    finally:
        os._exit(_NOT_STARTED)


def _arrange_descriptors(fds: list[int]) -> None:
    """0, 1, 2 and perhaps 3. The holder keeps 0 to 3 occupied, so that no source lies among the goals."""
    for goal, source in enumerate(fds):
        os.dup2(source, goal, inheritable=True)
    syscalls.close_on_exec_from(max(len(fds), _CHANNEL))


def _sentence(step: str, error: OSError, order: Order) -> str:
    subject = {"cwd": order.cwd or "the work folder", "exec": os.fsdecode(order.argv[0])}.get(step, step)
    return f"{subject}: {os.strerror(error.errno or 0)}"


def launch_failure(told: bytes) -> tuple[str, int, str, str] | None:
    """What came through the pipe: (step, errno, message, kind), or None if the program runs."""
    if not told:
        return None
    step, number, message, kind = marshal.loads(told)  # noqa: S302 - written by our own child before its exec
    return step, number, message, kind
