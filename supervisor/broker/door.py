"""Takes connections from the listener, a few at a time, and waits a moment when there is no descriptor for another.

asyncio's own way tries 512 times at once and says so 512 times when descriptors are short. The listener is the
arbiter's: it is never closed or unlinked here.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from loguru import logger

AT_ONCE: Final = 8
REST_S: Final = 0.5


class Door:
    """Open until `close`. `protocol` makes what serves a connection; `make_room` is asked when descriptors are short."""

    def __init__(
        self, listener: socket.socket, protocol: Callable[[], asyncio.Protocol], make_room: Callable[[], object]
    ) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._protocol = protocol
        self._make_room = make_room
        self._loop = asyncio.get_running_loop()
        self._coming: set[asyncio.Task[None]] = set()
        self._rest: asyncio.TimerHandle | None = None
        self._resting = False
        self._open()

    def close(self) -> None:
        """Takes no more connections; those that are there go on."""
        if self._rest is not None:
            self._rest.cancel()
        self._loop.remove_reader(self._listener)

    def _open(self) -> None:
        self._rest = None
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        while len(self._coming) < AT_ONCE:
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._wait(error)
                return
            self._resting = False
            connection.setblocking(False)
            task = self._loop.create_task(self._let_in(connection))
            self._coming.add(task)
            task.add_done_callback(self._coming.discard)

    async def _let_in(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:
            connection.close()

    def _wait(self, error: OSError) -> None:
        """The others wait in the listener's backlog: nobody is turned away for a moment's want."""
        if not self._resting:
            logger.warning("no connection can be taken ({}): trying again every {:g} s", error.strerror, REST_S)
        self._resting = True
        self._loop.remove_reader(self._listener)
        self._make_room()
        self._rest = self._loop.call_later(REST_S, self._open)
