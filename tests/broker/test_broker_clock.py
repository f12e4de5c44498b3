"""The wall clock jumps, forwards and back, under the real writer and ticker: nobody waits for it, nothing ends early."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from supervisor import store
from supervisor.broker import commit, ticker
from supervisor.broker.commit import Committer
from supervisor.broker.reserve import Reserve
from supervisor.broker.ticker import LONGEST_SLEEP_S, Ticker, patience_s
from supervisor.core.job import JobSpec
from supervisor.core.retry import Backoff
from tests.store.making import EXIT_1, OK, SPEC, new_job

HOUR_US = 3_600_000_000
NOW_US = 1_800_000_000_000_000
RETRIED = JobSpec(main=SPEC.main, contents=SPEC.contents, backoff=Backoff(base_s=60, factor=1))


@pytest.mark.parametrize(
    ("due_us", "patience"),
    [(None, None), (0, 30.0), (-5, 0.0), (2_000_000, 2.0), (HOUR_US, 30.0), (-HOUR_US, 0.0), (30_000_001, 30.0)],
)
def test_the_clock_is_compared_every_half_a_minute_while_anything_is_scheduled(
    due_us: int | None, patience: float | None
) -> None:
    at = None if due_us is None else NOW_US + due_us
    assert patience_s(at, NOW_US) == (0.0 if due_us == 0 else patience)
    assert LONGEST_SLEEP_S == 30.0


class Broker:
    """The parts of a broker that know a clock, and that clock."""

    def __init__(self, path: str) -> None:
        self.now_us = NOW_US
        self.committer = Committer(
            partial(store.open_writer, path),
            Reserve(f"{path}.reserve"),
            lambda events: self.ticker.something_scheduled(),
            lambda error: None,
            on_step_back=self._on_step_back,
        )
        self.ticker: Ticker
        self.reader: Any = None

    def _on_step_back(self) -> None:
        self.ticker.clock_stepped_back()

    def state(self, job: int) -> str:
        return store.states_of(self.reader, [job])[job]

    async def submit(self, number: int, **changes: Any) -> int:
        changes = {"due_us": self.now_us, **changes}
        job, *_ = await self.committer.run(lambda tx: store.submit(tx, new_job(number, **changes)))
        return job

    async def claim(self) -> Any:
        return await self.committer.run(
            lambda tx: store.claim(tx, types=["node"], queues=None, worker="w", incarnation="w")
        )

    async def settle(self, lease: int, outcome: Any = OK) -> None:
        said = {"incarnation": "w", "isolation": "plain", "result": None, "progress": None, "dice": 0.5}
        await self.committer.run(partial(store.settle, lease=lease, outcome=outcome, **said))

    async def until(self, what: Callable[[], bool], saying: str) -> None:
        for _ in range(1000):
            if what():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{saying} did not come true")


@pytest.fixture
def with_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[Broker], Awaitable[None]]], None]:
    """Runs a story on a broker whose clock the story sets. It looks every 50 ms where a real one does every 30 s."""
    monkeypatch.setattr(ticker, "LONGEST_SLEEP_S", 0.05)

    def run(story: Callable[[Broker], Awaitable[None]]) -> None:
        async def tell() -> None:
            broker = Broker(str(tmp_path / "queue.db"))
            monkeypatch.setattr(commit, "wall_us", lambda: broker.now_us)
            monkeypatch.setattr(ticker, "wall_us", lambda: broker.now_us)
            await broker.committer.connected()
            broker.reader = store.open_reader(str(tmp_path / "queue.db"))
            broker.ticker = Ticker(broker.committer, broker.reader)
            ticking = asyncio.ensure_future(broker.ticker.run())
            await story(broker)
            assert not ticking.done()
            ticking.cancel()
            await broker.committer.close()
            broker.reader.close()

        asyncio.run(tell())

    return run


def test_a_jump_forwards_makes_due_what_people_scheduled(with_broker: Any) -> None:
    async def story(broker: Broker) -> None:
        soon = await broker.submit(1, due_us=NOW_US + HOUR_US)
        late = await broker.submit(2, due_us=NOW_US + 3 * HOUR_US)
        broker.now_us += 2 * HOUR_US
        await broker.until(lambda: broker.state(soon) == "queued", "the job that is due")
        assert broker.state(late) == "scheduled"

    with_broker(story)


def test_a_jump_back_leaves_what_people_scheduled_at_its_moment(with_broker: Any) -> None:
    async def story(broker: Broker) -> None:
        job = await broker.submit(1, due_us=NOW_US + HOUR_US)
        broker.now_us -= 5 * HOUR_US
        await broker.submit(2)
        broker.now_us = NOW_US + HOUR_US - 1
        await broker.submit(3)
        assert broker.state(job) == "scheduled"
        broker.now_us += 1
        await broker.until(lambda: broker.state(job) == "queued", "the job at its moment")

    with_broker(story)


def test_a_jump_back_makes_no_retry_wait_longer_than_its_delay(with_broker: Any) -> None:
    async def story(broker: Broker) -> None:
        job = await broker.submit(1, retries=3, spec=RETRIED)
        lease = await broker.claim()
        await broker.settle(lease.lease, EXIT_1)
        assert broker.state(job) == "scheduled"
        assert store.next_due_us(broker.reader) == NOW_US + 30_000_000
        broker.now_us -= 2 * HOUR_US
        await broker.until(
            lambda: store.next_due_us(broker.reader) == broker.now_us + 30_000_000, "its delay, from now on"
        )
        broker.now_us += 30_000_000
        await broker.until(lambda: broker.state(job) == "queued", "the retry")

    with_broker(story)


def test_a_jump_back_lets_nobody_overtake_what_is_queued(with_broker: Any) -> None:
    async def story(broker: Broker) -> None:
        waiting = [await broker.submit(number) for number in (1, 2)]
        broker.now_us -= HOUR_US
        await broker.submit(3)  # the first commit after the jump shows it
        await broker.until(lambda: brought(broker), "a look at the clock")
        claimed = [(await broker.claim()).job for _ in range(3)]
        assert claimed == [*waiting, 3]

    def brought(broker: Broker) -> bool:
        later = "SELECT count(*) FROM jobs WHERE state = 'queued' AND due_us > ?"
        return broker.reader.execute(later, (broker.now_us,)).fetchone() == (0,)

    with_broker(story)


def test_nothing_ends_before_it_began(with_broker: Any) -> None:
    async def story(broker: Broker) -> None:
        job = await broker.submit(1)
        lease = await broker.claim()
        broker.now_us -= HOUR_US
        await broker.settle(lease.lease)
        view = store.job_view(broker.reader, job)
        assert view is not None
        attempt = view["attempts"][0]
        assert view["state"] == "completed"
        assert view["started_at"] == view["finished_at"] == attempt["started_at"] == attempt["finished_at"]
        assert attempt["wall_s"] == OK.wall_s, "how long it took was measured by another clock"

    with_broker(story)


def test_events_keep_their_order_whatever_the_clock_says(with_broker: Any) -> None:
    async def story(broker: Broker) -> None:
        jobs = []
        for number, jump_us in enumerate((0, HOUR_US, -3 * HOUR_US, HOUR_US)):
            broker.now_us += jump_us
            jobs.append(await broker.submit(number))
        assert jobs == sorted(jobs)
        events = store.events_after(broker.reader, job=None, after=0, limit=100)
        assert [event.id for event in events] == sorted(event.id for event in events)
        assert [event.job for event in events if event.kind == "submitted"] == jobs

    with_broker(story)
