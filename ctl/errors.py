"""What the client raises: one class for each exit status, the protocol's code in `.code`.

```
WorkerctlError
├── InvalidRequest    2    the request, the file or the option is wrong
├── NotFound          3    there is no such job
├── WrongState        4    the job's state does not allow it, or a conflict
├── NoDaemon          5    nobody answers, or the daemon is stopping
├── NotAllowed        6    forbidden, above a maximum, or not supported here
├── DaemonFailed      7    storage, overload, a defect, or a code that this release does not know
├── QueueFull         8    the queue has reached its depth cap
└── WaitTimeout     124    the wait timed out; the jobs go on
```
"""

from __future__ import annotations

from supervisor.core.names import CODES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class WorkerctlError(Exception):
    """`code` is one of `supervisor.core.names.CODES`, `message` a sentence, `data` a dict for programs.

    `repeated` says that the request was sent more than once, because the connection broke before its answer.
    """

    def __init__(self, code: str, message: str, data: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data: dict[str, Any] = data or {}
        self.repeated = False

    @property
    def exit_status(self) -> int:
        """What the command exits with."""
        return CODES[self.code].exit_status if self.code in CODES else CODES["internal"].exit_status


class InvalidRequest(WorkerctlError):
    """The request is wrong; repeating it cannot help."""


class NotFound(WorkerctlError):
    """There is no such job, or it is not yours."""


class WrongState(WorkerctlError):
    """The job's state does not allow it (`data["state"]`), or the request conflicts with an earlier one."""


class NoDaemon(WorkerctlError):
    """Nobody answers on the socket, or the daemon is shutting down."""


class NotAllowed(WorkerctlError):
    """Forbidden, above a maximum, blocked, or not supported on this machine."""


class DaemonFailed(WorkerctlError):
    """The daemon could not do it: storage, overload or a defect."""


class QueueFull(WorkerctlError):
    """The queue has reached its depth cap; try again later."""


class WaitTimeout(WorkerctlError):
    """The wait timed out; the jobs go on."""


_CLASS_OF: dict[int, type[WorkerctlError]] = {
    2: InvalidRequest,
    3: NotFound,
    4: WrongState,
    5: NoDaemon,
    6: NotAllowed,
    7: DaemonFailed,
    8: QueueFull,
    124: WaitTimeout,
}


def error_of(code: str, message: str, data: dict[str, Any] | None = None) -> WorkerctlError:
    """The exception for an error answer; a code that is not known here becomes DaemonFailed."""
    status = CODES[code].exit_status if code in CODES else 7
    return _CLASS_OF[status](code, message, data)


def invalid(message: str) -> InvalidRequest:
    """A mistake found before anything was sent."""
    return InvalidRequest("bad_request", message)


def sentence_of(error: OSError) -> str:
    """What the system refused: a file by its name, else our own output."""
    return f"cannot write: {error.strerror or error}" if error.filename is None else str(error)
