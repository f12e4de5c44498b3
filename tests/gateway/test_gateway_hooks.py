"""What webhooks may take of memory and connections, whatever addresses jobs name: against a port where nobody listens."""

from __future__ import annotations

import asyncio
import os
import pathlib
import socket
from collections.abc import Iterator

import pytest

from supervisor.child import GatewayOrders
from supervisor.config import HttpSettings, Settings, Webhook
from supervisor.gateway.hooks import FAILING_AFTER, MOST_OPEN, Hooks
from supervisor.gateway.link import Link
from supervisor.gateway.meter import Meter
from supervisor.tokens import read_or_make


@pytest.fixture
def dead() -> Iterator[str]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def hooks_for(folder: pathlib.Path, dead: str, meter: Meter) -> Hooks:
    os.chmod(folder, 0o700)
    read_or_make(str(folder))
    settings = Settings(
        state_dir=str(folder),
        socket=f"{folder}/s",
        http=HttpSettings(webhook_urls=(f"{dead}/",)),
        webhooks=(Webhook(url=f"{dead}/all", on=("failed",)),),
    )
    orders = GatewayOrders(
        settings=settings, state_dir=str(folder), socket=f"{folder}/s", listeners=(), scoreboard=None, place=0, parent=0
    )
    return Hooks(orders, Link(orders.socket), meter)


def test_an_address_for_each_job_takes_no_more_than_one_for_all(tmp_path: pathlib.Path, dead: str) -> None:
    meter = Meter()

    async def open_many() -> float:
        hooks = hooks_for(tmp_path, dead, meter)
        tasks_before = asyncio.all_tasks()
        for number in range(MOST_OPEN + 200):
            # Until it is known to fail, the next ones wait for room.
            await asyncio.wait_for(hooks._open(f"{dead}/job/{number}", "key", number, b"{}"), 10)
            if number == FAILING_AFTER:
                await asyncio.sleep(0.2)  # the first tries are refused meanwhile
        await hooks._open(f"{dead}/all", "key", 1, b"{}")
        pending = asyncio.all_tasks() - tasks_before
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        return len(pending)

    assert asyncio.run(open_many()) == MOST_OPEN + 1, "500 of all jobs' own, and the one of the settings"
    samples = {(s.name, s.labels.get("result")): s.value for m in meter.registry.collect() for s in m.samples}
    assert samples["workerctl_webhooks_total", "dropped"] == 200
