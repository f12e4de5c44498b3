"""`worker-supervisor` with dummy children: the real command line, settings and arbiter."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import threading
import time

from supervisor import cli
from supervisor.arbiter import main
from supervisor.arbiter.kinds import Kind

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


if __name__ == "__main__":
    real_run = main.run
    main.run = lambda settings: real_run(settings, DUMMIES)
    for constant in os.environ.get("DUMMY_CONSTANTS", "").split():
        shorten(constant)
    if "DUMMY_FORKS_REFUSED" in os.environ:
        refuse_forks(int(os.environ["DUMMY_FORKS_REFUSED"]))
    if "DUMMY_THREAD" in os.environ:
        threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
    sys.exit(cli.main())
