"""Ctrl-C while a job is being run: the first one cancels it, the second one leaves at once.

The first one raises nothing: it cancels from within the signal handler over a connection of its own, so that output
on its way to the terminal is neither lost nor doubled.
"""

from __future__ import annotations

import signal

from ctl.client import Client
from ctl.errors import WorkerctlError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Self

    from ctl.console import Console


class CancelOnInterrupt:
    """While it is entered, SIGINT cancels the job given to `watch`.

    `happened` says whether it came, `cancelled` whether the cancel was acknowledged.
    """

    def __init__(self, console: Console, socket: str | None) -> None:
        self.happened = False
        self.cancelled = False
        self._console = console
        self._socket = socket
        self._job: int | None = None

    def __enter__(self) -> Self:
        self._previous = signal.getsignal(signal.SIGINT)
        if self._previous is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._previous)

    def watch(self, job: int) -> None:
        """The job is known now; it is cancelled at once if Ctrl-C came before."""
        self._job = job
        if self.happened:
            self._cancel(job)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.happened:
            raise KeyboardInterrupt
        self.happened = True
        if self._job is None:
            self._console.complain("Ctrl-C: the job is cancelled as soon as it is queued; once more leaves at once")
        else:
            self._cancel(self._job)

    def _cancel(self, job: int) -> None:
        self._console.complain(f"Ctrl-C: cancelling job {job}; once more leaves at once")
        try:
            with Client(self._socket) as client:
                client.cancel(job, "Ctrl-C")
            self.cancelled = True
        except WorkerctlError as error:
            if error.code != "wrong_state":
                self._console.complain(f"job {job} could not be cancelled: {error.message}")
                raise KeyboardInterrupt from None
