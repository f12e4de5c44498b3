"""What a job that waits for another makes of that one's end."""

from __future__ import annotations

import pytest

from supervisor.core.dependency import MET_BY, WANTED, is_met, never
from supervisor.core.names import FINAL_STATES, STATES


@pytest.mark.parametrize(
    ("condition", "state", "met"),
    [
        ("ok", "completed", True),
        ("ok", "failed", False),
        ("ok", "cancelled", False),
        ("any", "completed", True),
        ("any", "failed", True),
        ("any", "cancelled", True),
        ("fail", "completed", False),
        ("fail", "failed", True),
        ("fail", "cancelled", False),
        *[(condition, None, False) for condition in ("ok", "any", "fail")],
    ],
)
def test_a_final_state_decides_every_condition(condition: str, state: str | None, met: bool) -> None:
    assert is_met(condition, state) is met


@pytest.mark.parametrize("state", sorted(set(STATES) - FINAL_STATES))
@pytest.mark.parametrize("condition", MET_BY)
def test_nothing_is_decided_before_the_end(condition: str, state: str) -> None:
    assert is_met(condition, state) is None


def test_every_condition_has_its_word() -> None:
    assert set(WANTED) == set(MET_BY)


@pytest.mark.parametrize(
    ("condition", "state", "reason", "sentence"),
    [
        ("ok", "failed", "exit", "it waited for job 7 to complete (--after 7:ok), which failed (exit)"),
        ("ok", "cancelled", "cancelled", "it waited for job 7 to complete (--after 7:ok), which was cancelled"),
        (
            "ok",
            "cancelled",
            "dependency",
            "it waited for job 7 to complete (--after 7:ok), which was cancelled (dependency)",
        ),
        ("fail", "completed", "ok", "it waited for job 7 to fail (--after 7:fail), which completed"),
        ("any", None, None, "it waited for job 7 to end (--after 7:any), which was deleted before it ended"),
    ],
)
def test_the_sentence_names_the_job_and_its_end(
    condition: str, state: str | None, reason: str | None, sentence: str
) -> None:
    assert never(condition, 7, state, reason) == sentence
