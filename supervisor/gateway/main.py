"""The gateway's life: read its orders, serve on the sockets that it was given, end when told or when its parent does.

The arbiter made the listening sockets and keeps them: who connects while the gateway is started again waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Final

import msgspec
import uvicorn
from loguru import logger
from setproctitle import setproctitle

from supervisor import log, tokens
from supervisor.child import GatewayOrders
from supervisor.core.errors import SupervisorError
from supervisor.core.fleet import BEATS_A_PERIOD
from supervisor.gateway.api import application, endpoints
from supervisor.gateway.front import Front, Rules
from supervisor.gateway.hooks import Hooks
from supervisor.gateway.link import Link
from supervisor.gateway.meter import Meter
from supervisor.gateway.pages import Pages
from supervisor.gateway.protocol import GuardedProtocol
from supervisor.gateway.rest import Rest
from supervisor.gateway.sse import Streams
from supervisor.scoreboard import Scoreboard

ROLE: Final = "gateway"
MOST_CONNECTIONS: Final = 512
HEAD_BYTES: Final = 64 << 10
KEEP_ALIVE_S: Final = 15
_PR_SET_DUMPABLE: Final = 4
_WATCH_AGAIN_S: Final = 1.0


def main() -> int:
    """The exit status; orders come on standard input."""
    setproctitle(f"worker-supervisor: {ROLE}")
    # After the exec anybody of the same user could read the tokens in our memory again.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    orders = msgspec.json.decode(sys.stdin.buffer.read(), type=GatewayOrders)
    if os.getppid() != orders.parent:
        return 0
    try:
        log.configure(ROLE, orders.settings.log)
        return asyncio.run(_Gateway(orders).live())
    except SupervisorError as error:
        logger.error("{}", error)
        return error.exit_status


class _Gateway:
    def __init__(self, orders: GatewayOrders) -> None:
        http = orders.settings.http
        self._orders = orders
        self._link = Link(orders.socket)
        self._meter = Meter()
        self._hooks = Hooks(orders, self._link, self._meter)
        table = endpoints(Rest(self._link, self._meter), Streams(self._link, self._meter, http.heartbeat_s))
        rules = Rules(tokens.read(orders.state_dir), frozenset(http.hosts), http.rate, http.max_body_bytes)
        self._app = Front(application(table), rules, Pages(), self._meter)

    async def live(self) -> int:
        sockets = [socket.socket(fileno=fd) for fd in self._orders.listeners]
        server = _Server(_config(self._app))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.leave)
        tasks = [asyncio.create_task(one) for one in (self._beat(), self._watch(), self._hooks.run())]
        for task in tasks:
            task.add_done_callback(_tell_defect)
        try:
            logger.info("ready")
            await server.serve(sockets)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._link.close()
        return 0

    async def _beat(self) -> None:
        if self._orders.scoreboard is None:
            return
        slot = Scoreboard.inherit(self._orders.scoreboard).slot(self._orders.place)
        while True:
            slot.beat()
            await asyncio.sleep(self._orders.settings.hang_timeout_s / BEATS_A_PERIOD)

    async def _watch(self) -> None:
        """Counts what happens, from now on."""
        while True:
            with contextlib.suppress(SupervisorError):
                cursor = int((await self._link.ask("status"))["cursor"])
                async for item in self._link.stream("events", lambda: {"after": cursor, "follow": True}):  # noqa: B023
                    cursor = item["cursor"]
                    self._meter.happened(item)
            await asyncio.sleep(_WATCH_AGAIN_S)


def _tell_defect(task: asyncio.Task[None]) -> None:
    """What ends by itself goes on without: nobody would hear of it."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.opt(exception=error).error("a defect: a part of the gateway has ended, restart it")


def _config(app: Front) -> uvicorn.Config:
    # The front logs what matters; uvicorn's own lines would tell the same once more.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    return uvicorn.Config(
        app,
        loop="asyncio",
        http=GuardedProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=HEAD_BYTES,
    )


class _Server(uvicorn.Server):
    """uvicorn's server, whose signals are ours."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def leave(self) -> None:
        """Ends: what is under way has a moment."""
        self.should_exit = True
