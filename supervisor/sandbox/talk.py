"""What a keeper waits for and speaks with: its slot's socket, the deaths of its children, the process it depends on.

Invariant: the end of the conversation, or of the process above, is Gone, wherever it is noticed.
Never: blocks but in `wait` and `pause`.
"""

from __future__ import annotations

import contextlib
import os
import select

from supervisor.sandbox import message

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

    from supervisor.sandbox.message import Message


class Gone(Exception):
    """The worker gave the slot up or died, or the holder above did: end everything, no job report."""


class Talk:
    """control: the slot's socket; children: a signalfd of SIGCHLD; above: a descriptor, and the poll event on it that
    says that the process this one depends on is gone."""

    def __init__(self, control: _socket.socket, children: int, above: tuple[int, int]) -> None:
        self._control = control
        self._children = children
        self._above = above[0]
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._poll.register(children, select.POLLIN)
        self._poll.register(*above)

    @property
    def control_fd(self) -> int:
        return self._control.fileno()

    def also(self, fd: int) -> None:
        """Waits for this one, too."""
        self._poll.register(fd, select.POLLIN)

    def no_more(self, fd: int) -> None:
        self._poll.unregister(fd)

    def wait(self, timeout_ms: int) -> set[int]:
        """What is readable. Raises Gone."""
        ready = {fd for fd, _ in self._poll.poll(timeout_ms)}
        if self._above in ready:
            raise Gone
        if self._children in ready:
            self._forget_signals()
        return ready

    def pause(self, timeout_ms: int) -> None:
        """Until a child dies, or for so long."""
        poll = select.poll()
        poll.register(self._children, select.POLLIN)
        poll.poll(timeout_ms)
        self._forget_signals()

    def hear(self) -> tuple[Message | None, list[int]]:
        """A request and its descriptors, if there is one. Raises Gone."""
        try:
            request, fds = message.receive_now(self._control)
        except BlockingIOError:
            return None, []
        if request is None:
            raise Gone
        return request, fds

    def say(self, report: Message, fds: tuple[int, ...] | list[int] = ()) -> None:
        """Nobody there is seen as Gone where it matters."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            message.send(self._control, report, fds)

    def _forget_signals(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._children, 4096)
