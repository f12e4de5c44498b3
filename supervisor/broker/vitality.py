"""Signs of life for the arbiter: that the database can be read and written to, and how many jobs there are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from loguru import logger

from supervisor.broker.commit import Committer
from supervisor.core.errors import SupervisorError
from supervisor.core.names import QUEUED, RUNNING, SCHEDULED
from supervisor.store import Reader, counts
from supervisor.wire.tree import BrokerMessage, Pong, Vitals

SAID_EVERY_S: Final = 3.0
"""How often the counts are said at most."""


class Vitality:
    """`say` sends to the arbiter. `wanted`: somebody there hears the counts."""

    def __init__(
        self, reader: Reader, committer: Committer, say: Callable[[BrokerMessage], None], *, wanted: bool
    ) -> None:
        self._reader = reader
        self._committer = committer
        self._say = say
        self._wanted = wanted
        self._timer: asyncio.TimerHandle | None = None

    async def prove(self) -> None:
        """Says `pong` once both connections have answered. An empty transaction writes nothing."""
        try:
            counts(self._reader)
            await self._committer.run(lambda _: None, essential=True)
        except SupervisorError as error:
            logger.warning("there is no proof that the database is alive: {}", error)
            return
        self._say(Pong())

    def changed(self) -> None:
        """Says the counts soon, and not for each change."""
        if self._wanted and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SAID_EVERY_S, self._tell)

    def _tell(self) -> None:
        self._timer = None
        now = counts(self._reader)
        self._say(Vitals(running=now[RUNNING], queued=now[QUEUED], scheduled=now[SCHEDULED]))
