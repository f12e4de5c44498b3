"""`worker-supervisor` with dummy children: the real command line, settings and arbiter."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import threading
import time

from dummy_broker import note_fds, told

from supervisor import cli
from supervisor.arbiter import main
from supervisor.arbiter.handover import HANDOVER_VARIABLE
from supervisor.arbiter.kinds import Kind
from supervisor.arbiter.successor import Commands

DUMMIES = {
    "broker": Kind("dummy_broker", ("lock", "listener", "channel")),
    "worker": Kind("dummy_worker", ("lock",)),
}


def shorten(constant: str) -> None:
    """`module.NAME=seconds`: so that a test need not wait as long as an operator would."""
    name, _, seconds = constant.partition("=")
    module, _, name = name.rpartition(".")
    assert isinstance(getattr(importlib.import_module(module), name), float)
    setattr(importlib.import_module(module), name, float(seconds))


def refuse_forks(how_many: int) -> None:
    """As the kernel does when there are too many processes; no limit binds root, so the call itself is replaced."""
    real_fork, left = os.fork, [how_many]

    def fork() -> int:
        left[0] -= 1
        if left[0] >= 0:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return real_fork()

    os.fork = fork


def commands(python: str | None) -> Commands:
    """What it becomes, and what it takes for the check: instant and content, unless the test says otherwise."""
    preflight = os.environ.get("DUMMY_PREFLIGHT", "/bin/true").split()
    return Commands([python or sys.executable, os.path.abspath(__file__), *sys.argv[1:]], preflight)


def after_exec() -> None:
    """The first thing that a successor does here: it notes what it got, and dawdles as long as the test wants."""
    note_fds("arbiter")
    while told("dawdles"):
        time.sleep(0.01)


if __name__ == "__main__":
    if HANDOVER_VARIABLE in os.environ:
        after_exec()
    real_run = main.run
    main.run = lambda settings, reread, left: real_run(settings, reread, DUMMIES, left, commands)
    for constant in os.environ.get("DUMMY_CONSTANTS", "").split():
        shorten(constant)
    if "DUMMY_FORKS_REFUSED" in os.environ:
        refuse_forks(int(os.environ["DUMMY_FORKS_REFUSED"]))
    if "DUMMY_THREAD" in os.environ:
        threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
    sys.exit(cli.main())
