"""What a job has to do with other jobs: which ones it waits for, and the unique key that it holds. Pure."""

from __future__ import annotations

from supervisor.broker.sentence import Sentence, count_of, listed
from supervisor.broker.situation import Situation
from supervisor.core.dependency import WANTED


def awaited(now: Situation) -> list[Sentence]:
    """The jobs that must end first, and how."""
    if not now.waits:
        return []
    ones = [f"job {one.job} ({one.state}), which must {WANTED[one.condition]}" for one in now.waits]
    ones += [f"job {job}" for job in now.view["waiting_for"][len(ones) :]]
    number = count_of(len(ones), "other job")
    return [
        Sentence(
            f"It waits for {number}: {listed(ones)}. If that becomes impossible, it is cancelled.",
            f"workerctl explain {now.waits[0].job}, or submit without --after",
        )
    ]


def key_held(now: Situation) -> list[Sentence]:
    """What its unique key means to others, while it is not over."""
    key = now.view.get("unique_key")
    if key is None:
        return []
    return [
        Sentence(
            f"It holds the unique key {key!r} of queue {now.view['queue']}: until it is over, a submit with that key "
            "makes no other job.",
            f"workerctl cancel {now.view['id']}, or another --unique",
        )
    ]
