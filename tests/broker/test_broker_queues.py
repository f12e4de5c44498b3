"""What is said of queues: why one lets nothing start, and how status shows them. And who keeps contents."""

from __future__ import annotations

import dataclasses

import pytest

from supervisor.broker.explain import explain
from supervisor.broker.holds import Holds, contents_of
from supervisor.broker.queue_gate import MOST_SHOWN, shown_of, views
from supervisor.broker.situation import Situation
from supervisor.core.queues import NO_CAPS, QueueCaps
from supervisor.store import Pause
from supervisor.wire.control import ContentRef, Submit
from tests.broker.test_broker_explain import LATER, job, situation

OWN, ALL = Pause("default", 1_700_000_000_000_000, 7), Pause("*", 1_700_000_000_000_000, 7)
SAID = "paused since 2023-11-14T22:13:20.000000Z, by uid 7: nothing starts until that is over."
CAPPED = {"caps": QueueCaps(max_running=2), "caps_table": 'queues."*"'}


@pytest.mark.parametrize(
    ("now", "says", "change"),
    [
        (situation(job("queued"), pause=OWN), f"Queue default is {SAID}", "workerctl resume default"),
        (situation(job("queued"), pause=ALL), f"All queues are {SAID}", "workerctl resume"),
        (
            situation(job("queued"), running=2, **CAPPED),
            "Queue default runs at most 2 jobs at once, and 2 run now.",
            'setting queues."*".max_running',
        ),
        (
            situation(job("queued"), caps=QueueCaps(max_running=0), caps_table="queues.default"),
            "Queue default runs at most 0 jobs at once, so that none ever starts.",
            "setting queues.default.max_running",
        ),
    ],
    ids=["paused", "all paused", "full", "never"],
)
def test_the_first_sentence_is_what_keeps_it_and_no_worker_is_blamed(now: Situation, says: str, change: str) -> None:
    sentences = explain(now)
    assert sentences[0] == (says, change)
    assert not any("worker" in sentence.says for sentence in sentences)


def test_below_its_cap_nothing_is_said_of_it() -> None:
    said = " ".join(sentence.says for sentence in explain(situation(job("queued"), running=1, **CAPPED)))
    assert "at most" not in said and "busy" in said


def test_a_job_that_is_due_later_is_told_that_its_queue_is_paused_too() -> None:
    first, second, *_ = explain(situation(job("scheduled"), LATER, pause=OWN))
    assert first.says.startswith("It was submitted for later")
    assert second.says == f"Queue default is {SAID}"


def test_a_running_job_is_not_told_of_pauses() -> None:
    view = dataclasses.replace(situation(job("completed")), pause=OWN)
    assert not any("paused" in sentence.says for sentence in explain(view))


COUNTS = {"a": {"queued": 1, "running": 0}, "gone": {"queued": 0}, "b": {"completed": 3}}


def test_status_shows_queues_that_have_jobs_are_paused_or_capped() -> None:
    shown = views(COUNTS, {"b": Pause("b", 0, 7), "c": Pause("c", 0, 7)}, {"d": QueueCaps(5, 1), "*": QueueCaps(9)})
    assert [(one["name"], one["paused"], one["max_queued"], one["max_running"]) for one in shown] == [
        ("a", False, 9, None),
        ("b", True, 9, None),
        ("c", True, 9, None),
        ("d", False, 5, 1),
    ]
    assert shown[1]["paused_at"] == "1970-01-01T00:00:00.000000Z"
    assert all(one["paused"] for one in views(COUNTS, {"*": ALL}, {}))


def test_of_very_many_queues_those_with_work_are_shown() -> None:
    many = {f"done{number:04}": {"completed": 1} for number in range(2 * MOST_SHOWN)} | {"work": {"queued": 1}}
    shown = [one["name"] for one in views(many, {"paused": Pause("paused", 0, 7)}, {"*": NO_CAPS})]
    assert len(shown) == MOST_SHOWN
    assert {"work", "paused"} <= set(shown)


def test_of_very_many_queues_stats_tells_so_many_as_an_answer_can_hold() -> None:
    many = {f"done{number:04}": {"completed": 1} for number in range(2 * MOST_SHOWN)} | {"work": {"running": 1}}
    assert len(shown_of(many, many)) == MOST_SHOWN
    assert shown_of(many, many)[-1] == "work"
    assert shown_of(COUNTS, COUNTS) == ["a", "b", "gone"]


def test_what_two_hold_is_held_until_both_let_go() -> None:
    holds = Holds()
    with holds.hold(["a", "b"]):
        with holds.hold(["a"]), holds.hold_all():
            assert "c" in holds
        assert ("a" in holds, "b" in holds, "c" in holds) == (True, True, False)
    assert "a" not in holds and "b" not in holds


def test_the_contents_of_submits_are_all_that_they_name() -> None:
    one = Submit(id=1, request_id="request-1", contents=(ContentRef(sha256="a" * 64),), stdin_sha256="b" * 64)
    other = Submit(id=2, request_id="request-2", source="1")
    assert contents_of(one, other) == ["a" * 64, "b" * 64]
