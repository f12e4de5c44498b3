"""What a service manager is told, by the protocol of sd_notify(3): one datagram a message. Nothing when there is none.

The watchdog is fed only by proof: a broker that has read its database since it was last asked, and a look at our own
orphans that came to its end. A message that cannot be sent is lost; it never blocks and never raises.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, MutableMapping
from typing import Final

from loguru import logger

from supervisor.arbiter.loop import Loop
from supervisor.wire.tree import Vitals

PROOFS_A_PERIOD: Final = 3
_VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class ServiceManager:
    """Reads the manager's variables once, and takes them from the environment: no child may speak for us."""

    def __init__(self, env: MutableMapping[str, str]) -> None:
        address, period_us, pid = (env.pop(name, None) for name in _VARIABLES)
        self._address = None if not address else "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        self._watchdog_s = 0.0
        if period_us is not None and period_us.isdecimal() and pid in (None, "", str(os.getpid())):
            self._watchdog_s = int(period_us) / 1e6
        self._status = ""
        # An upgrade in place starts over with the same environment.
        self.handed_on = {
            name: value for name, value in zip(_VARIABLES, (address, period_us, pid), strict=True) if value
        }

    @property
    def is_there(self) -> bool:
        """Whether anybody listens."""
        return self._address is not None

    def ready(self) -> None:
        """The daemon serves; also the end of a reload."""
        self._say("READY=1")

    def reloading(self) -> None:
        """A reload begins."""
        self._say(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The shutdown begins."""
        self._say("STOPPING=1")

    def status(self, vitals: Vitals, state: str) -> None:
        """How many jobs there are."""
        words = f"{state}: {vitals.running} running, {vitals.queued} queued, {vitals.scheduled} scheduled"
        if words != self._status:
            self._status = words
            self._say(f"STATUS={words}")

    def alive(self) -> None:
        """Feeds the watchdog."""
        if self._watchdog_s:
            self._say("WATCHDOG=1")

    def begin(self, loop: Loop, ask: Callable[[], None]) -> None:
        """Calls `ask` for proof, again and again, if there is a watchdog to be fed."""
        if self.is_there and self._watchdog_s:
            self._ask_again(loop, ask)

    def _ask_again(self, loop: Loop, ask: Callable[[], None]) -> None:
        ask()
        loop.later(self._watchdog_s / PROOFS_A_PERIOD, lambda: self._ask_again(loop, ask))

    def _say(self, words: str) -> None:
        if self._address is None:
            return
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
                self._socket.setblocking(False)
            self._socket.sendto(words.encode(), self._address)
        except OSError as error:
            logger.debug("the service manager was not told {!r}: {}", words, error)
