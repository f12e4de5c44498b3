"""Webhooks: a POST for each job that has become final, to the addresses of the settings and the job's own.

Read from the events by a cursor that outlives this process. One address that fails holds up neither the others nor
memory: what is open for each is bounded, and of one that keeps failing the newest are dropped, and counted.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from loguru import logger

from supervisor.child import GatewayOrders
from supervisor.config import Webhook
from supervisor.core.errors import RequestError, SupervisorError
from supervisor.core.names import FINAL_STATES
from supervisor.core.webhooks import is_allowed, origin_of
from supervisor.gateway import sender
from supervisor.gateway.ledger import NAME, Ledger, Open
from supervisor.gateway.link import Link
from supervisor.gateway.meter import Meter
from supervisor.gateway.sender import Undelivered
from supervisor.tokens import read as read_tokens

TRIES: Final = 10
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 300.0
AT_ONCE: Final = 4
"""Requests to one address that are under way together."""
MOST_OPEN: Final = 500
"""Webhooks to one address that are open."""
FAILING_AFTER: Final = 3
"""An address that failed so often in a row is not waited for."""
WRITE_S: Final = 0.2
AGAIN_S: Final = 1.0


@dataclass
class Address:
    """Where webhooks go: an address of the settings, or the host behind the addresses of jobs. `failures` in a row."""

    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    open: int = 0
    failures: int = 0
    room: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_full(self) -> bool:
        """Whether no more may be opened."""
        return self.open >= MOST_OPEN


class Hooks:
    """Runs while there is anything to deliver to; else it does nothing at all."""

    def __init__(self, orders: GatewayOrders, link: Link, meter: Meter) -> None:
        http = orders.settings.http
        self._settings = orders.settings.webhooks
        self._known = frozenset(hook.url for hook in self._settings)
        self._allowed = http.webhook_urls
        self._key = read_tokens(orders.state_dir).webhook
        self._link = link
        self._meter = meter
        self._ledger = Ledger(f"{orders.state_dir}/{NAME}")
        self._begun = False
        self._delivering: set[Open] = set()
        self._addresses: dict[str, Address] = {}
        self._deliveries: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Delivers until cancelled."""
        if not self._settings and not self._allowed:
            self._ledger.forget()
            return
        writing = asyncio.create_task(self._write())
        try:
            while True:
                try:
                    await self._read()
                except SupervisorError as error:
                    logger.warning("webhooks wait for the broker: {}", error)
                await asyncio.sleep(AGAIN_S)
        finally:
            for task in (writing, *self._deliveries):
                task.cancel()
            await asyncio.gather(writing, *self._deliveries, return_exceptions=True)
            self._ledger.write()

    async def _read(self) -> None:
        present = int((await self._link.ask("status"))["cursor"])
        left = None if self._begun else self._ledger.load()
        if (not self._begun and left is None) or self._ledger.read > present:
            # The first time; or another database than the one that it was written for.
            self._ledger.begin(present)
        self._begun = True
        for one in list(self._ledger.open - self._delivering):
            await self._resume(one)
        async for item in self._link.stream("events", lambda: {"after": self._ledger.read, "follow": True}):
            if item["state"] in FINAL_STATES and item["event"] == item["state"]:
                await self._final(item)
            self._ledger.read = item["cursor"]

    async def _resume(self, one: Open) -> None:
        """What was open when the process before this one ended; its event may be gone with its job."""
        cursor, url = one
        key = next((hook.secret for hook in self._settings if hook.url == url), None) or self._key
        items = self._link.stream("events", lambda: {"after": cursor - 1, "limit": 1})
        event = next(iter([item async for item in items]), None)
        may_go = url in self._known or is_allowed(url, self._allowed)
        if event is None or event["cursor"] != cursor or not may_go:
            self._ended(one, "dropped")
            return
        await self._open(url, key, cursor, message_of(event, await self._job(event["job"])))

    async def _final(self, event: dict[str, Any]) -> None:
        """A job has become final: whoever is to hear of it."""
        wanted = [hook for hook in self._settings if _wants(hook, event)]
        if not wanted and not self._allowed:
            return
        job = await self._job(event["job"])
        urls = {hook.url: hook.secret or self._key for hook in wanted}
        own = (job or {}).get("webhook")
        # Looked at again: what the settings allowed when it was submitted they may forbid now.
        if own is not None and is_allowed(own, self._allowed):
            urls.setdefault(own, self._key)
        if not urls:
            return
        body = message_of(event, job)
        for url, key in urls.items():
            await self._open(url, key, event["cursor"], body)

    async def _job(self, job: int) -> dict[str, Any] | None:
        try:
            record: dict[str, Any] = await self._link.ask("show", {"job": job})
        except RequestError as error:
            if error.code != "not_found":
                raise
            return None
        return record

    async def _open(self, url: str, key: str, cursor: int, body: bytes) -> None:
        one = (cursor, url)
        if one in self._delivering:
            return
        # Jobs may name an address each: those of one host count as one, and hosts are as many as the settings allow.
        place = url if url in self._known else origin_of(url)
        address = self._addresses.setdefault(place, Address())
        while address.is_full and address.failures < FAILING_AFTER:
            # The events wait in the database.
            address.room.clear()
            await address.room.wait()
        if address.is_full:
            self._ended(one, "dropped")
            return
        address.open += 1
        self._ledger.open.add(one)
        self._delivering.add(one)
        self._meter.hooks_pending.inc()
        task = asyncio.create_task(self._deliver(address, one, key, body))
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)

    async def _deliver(self, address: Address, one: Open, key: str, body: bytes) -> None:
        # Cancelled, it stays open in the ledger: the next process delivers it.
        result = "failed"
        for attempt in range(TRIES):
            async with address.slots:
                error = await self._try(address, one, key, body)
            if error is None:
                result = "delivered"
                break
            if error.final or attempt == TRIES - 1:
                logger.warning("the webhook of event {} to {} is given up: {}", *one, error)
                break
            await asyncio.sleep(pause_s(attempt, random.random()))  # noqa: S311
        address.open -= 1
        self._meter.hooks_pending.dec()
        address.room.set()
        self._ended(one, result)

    async def _try(self, address: Address, one: Open, key: str, body: bytes) -> Undelivered | None:
        self._meter.hook_tries.inc()
        timestamp = int(time.time())
        message_id = f"event-{one[0]}"
        headers = {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sender.signature(key, message_id, timestamp, body),
        }
        try:
            await sender.post(one[1], headers, body)
        except Undelivered as error:
            address.failures += 1
            address.room.set()
            return error
        address.failures = 0
        return None

    def _ended(self, one: Open, result: str) -> None:
        self._ledger.open.discard(one)
        self._delivering.discard(one)
        self._meter.hooks.labels(result).inc()

    async def _write(self) -> None:
        while True:
            await asyncio.sleep(WRITE_S)
            try:
                self._ledger.write()
            except OSError as error:
                logger.error("how far the webhooks are cannot be written: {}", error.strerror)


def message_of(event: dict[str, Any], job: dict[str, Any] | None) -> bytes:
    """What is sent; `job` is null if it was deleted since."""
    data = {"cursor": event["cursor"], "job_id": event["job"], "attempt": event["attempt"], "job": job}
    return msgspec.json.encode({"type": f"job.{event['state']}", "timestamp": event["at"], "data": data})


def pause_s(failures: int, dice: float) -> float:
    """Seconds after the `failures`-th failure (0 for the first): twice as long each time, give or take a quarter."""
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0**failures) * (0.75 + dice / 2)


def _wants(hook: Webhook, event: dict[str, Any]) -> bool:
    return event["state"] in hook.on
