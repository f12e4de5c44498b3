"""The `workerctl` command and the blocking Python client of the daemon.

`from ctl import Client`. Nothing here opens the database or a file of the daemon: all goes over its socket.
"""

from ctl.artifacts import Artifact, Artifacts
from ctl.client import Client
from ctl.errors import (
    DaemonFailed,
    InvalidRequest,
    NoDaemon,
    NotAllowed,
    NotFound,
    QueueFull,
    WaitTimeout,
    WorkerctlError,
    WrongState,
)
from ctl.follow import Event, Output
from ctl.job import Attempt, Job, Submitted

__all__ = [
    "Artifact",
    "Artifacts",
    "Attempt",
    "Client",
    "DaemonFailed",
    "Event",
    "InvalidRequest",
    "Job",
    "NoDaemon",
    "NotAllowed",
    "NotFound",
    "Output",
    "QueueFull",
    "Submitted",
    "WaitTimeout",
    "WorkerctlError",
    "WrongState",
]
