"""SIGTERM as an event of the worker's loop: the first asks it to drain, the second to end its job now.

The handler does nothing; the kernel's byte in the wake-up pipe is the event.
"""

from __future__ import annotations

import os
import signal


class Terminations:
    """Counts the SIGTERMs that came. `fileno` is readable when one has."""

    def __init__(self) -> None:
        self.count = 0
        self._reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def fileno(self) -> int:
        return self._reading

    def receive(self) -> int:
        """How many have come in all."""
        try:
            self.count += os.read(self._reading, 64).count(signal.SIGTERM)
        except BlockingIOError:
            pass
        return self.count
