"""The line of each minute, and the bells of those who watch everything."""

from __future__ import annotations

import asyncio
from typing import Any

from supervisor.broker.feed import Feed, event_item
from supervisor.broker.minutes import Minutes, sentence
from supervisor.core.names import STATES
from supervisor.store import Event


def event(kind: str, job: int | None = 1) -> Event:
    return Event(7, job, 0, kind, None if job is None else "running", None, {})


def counts(**some: int) -> dict[str, int]:
    return dict.fromkeys(STATES, 0) | some


def test_the_line_tells_what_ended_and_what_there_is_now() -> None:
    assert sentence({}, counts()) == "last minute: 0 completed, 0 failed; now 0 running, 0 queued, 0 scheduled"
    kinds = {"running": 9, "completed": 5, "failed": 1, "cancelled": 2, "retrying": 3, "released": 4}
    assert sentence(kinds, counts(running=2, queued=7, scheduled=3)) == (
        "last minute: 5 completed, 1 failed, 2 cancelled, 3 to be tried again, 4 queued again; "
        "now 2 running, 7 queued, 3 scheduled"
    )


def test_a_line_comes_while_something_runs_and_none_when_nothing_does() -> None:
    async def scene() -> list[str]:
        said: list[str] = []
        heard = asyncio.Event()
        now = counts(running=1)

        def say(line: str) -> None:
            said.append(line)
            heard.set()

        minutes = Minutes(lambda: now, say, minute_s=0.01)
        minutes.note([event("submitted"), event("worker_died", None)])
        assert minutes._timer is None, "nothing ran: no timer"
        minutes.note([event("running"), event("completed")])
        minutes.note([event("running")])
        for _ in range(2):
            await asyncio.wait_for(heard.wait(), 10)
            heard.clear()
            assert minutes._timer is not None, "one still runs: the next minute counts"
        now["running"] = 0
        await asyncio.wait_for(heard.wait(), 10)
        assert minutes._timer is None
        return said

    first, *others = asyncio.run(scene())
    assert first.startswith("last minute: 1 completed, 0 failed; now 1 running")
    assert others[0].startswith("last minute: 0 completed")


def test_a_minute_that_is_cut_short_is_told_at_the_end() -> None:
    async def scene() -> list[str]:
        said: list[str] = []
        minutes = Minutes(counts, said.append)
        minutes.close()
        assert said == []
        minutes.note([event("failed")])
        minutes.close()
        minutes.close()
        return said

    assert asyncio.run(scene()) == ["last minute: 0 completed, 1 failed; now 0 running, 0 queued, 0 scheduled"]


def test_a_common_bell_rings_at_every_event_and_a_jobs_at_its_own() -> None:
    async def scene() -> list[Any]:
        feed, rung = Feed(), []
        with feed.common_bell() as common, feed.bell(1) as own:
            for events in ([], [event("running", 2)], [event("worker_died", None)], [event("running", 1)]):
                common.clear()
                own.clear()
                feed.publish(events)
                rung.append((common.is_set(), own.is_set()))
        feed.publish([event("running", 1)])
        return rung

    assert asyncio.run(scene()) == [(False, False), (True, False), (True, False), (True, True)]


def test_an_event_of_no_job_is_sent_with_null() -> None:
    item = event_item(event("worker_died", None))
    assert (item["cursor"], item["event"], item["job"], item["state"]) == (7, "worker_died", None, None)
