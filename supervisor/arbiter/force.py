"""The end of a child that does not answer any more: a traceback to its log if it can, then SIGKILL."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Final

from supervisor.arbiter.loop import Loop
from supervisor.arbiter.reap import Child

DUMP_S: Final = 2.0
"""So long it may take to write its traceback."""


def dump_and_kill(loop: Loop, child: Child, still_there: Callable[[], bool]) -> None:
    """`still_there`: it has not been reaped meanwhile."""
    child.send(signal.SIGABRT)
    # One that is stopped takes its pending signal as soon as it goes on.
    child.send(signal.SIGCONT)
    loop.later(DUMP_S, lambda: child.send(signal.SIGKILL) if still_there() else None)
