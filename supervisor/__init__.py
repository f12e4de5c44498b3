"""Workerctl's daemon: a durable single-host job queue with isolated workers.

Importing this package imports nothing else of it: the slim processes beside each job and the quick command
rely on that. `IS_WORKERCTL` is what start-up checks, since another distribution installs the same name. `JobWorker`,
what handlers derive from, is looked up when it is asked for.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervisor.runner.handler import Context, Job, JobWorker

__all__ = ["IS_WORKERCTL", "Context", "Job", "JobWorker", "__version__"]

__version__ = "0.1.0"

IS_WORKERCTL = True

_OF_HANDLERS = ("Context", "Job", "JobWorker")


def __getattr__(name: str) -> object:
    if name not in _OF_HANDLERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from supervisor.runner import handler

    found: object = getattr(handler, name)
    globals()[name] = found
    return found
