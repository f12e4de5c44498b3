"""What a keeper waits for and speaks with: its slot's socket, the deaths of its children, the process it depends on.

Invariant: the end of the conversation, or of the process above, is Gone, wherever it is noticed. What a job uses now
is told now and then, and only to who has read what was said before: news of it never fills the socket.
Never: blocks but in `wait` and `pause`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import time

from supervisor.sandbox import message

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

    from supervisor.sandbox.message import Message


_USE_EVERY_S = 1.0
_SIOCOUTQ = 0x5411  # asm-generic/ioctls.h: bytes sent and not read yet


class Gone(Exception):
    """The worker gave the slot up or died, or the holder above did: end everything, no job report."""


class Talk:
    """control: the slot's socket; children: a signalfd of SIGCHLD; above: a descriptor, and the poll event on it that
    says that the process this one depends on is gone."""

    def __init__(self, control: _socket.socket, children: int, above: tuple[int, int]) -> None:
        self._control = control
        self._children = children
        self._above = above[0]
        self._use_due_s: float | None = None
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

    def tell_use(self, cpu_s: float, memory_bytes: int) -> None:
        """What the job has used and has now, at most once a second."""
        now_s = time.monotonic()
        if self._use_due_s is not None and now_s < self._use_due_s:
            return
        is_young = self._use_due_s is None
        self._use_due_s = now_s + _USE_EVERY_S
        if is_young:  # most jobs have ended before anybody could have read it
            return
        unread = fcntl.ioctl(self._control.fileno(), _SIOCOUTQ, bytes(4))
        if not any(unread):
            self.say(("used", cpu_s, memory_bytes))

    def _forget_signals(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._children, 4096)
