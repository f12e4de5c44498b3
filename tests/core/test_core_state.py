"""The table of transitions: what it must allow, and that it allows nothing else."""

from __future__ import annotations

from itertools import pairwise, product

import hypothesis.strategies as st
import pytest
from hypothesis import given

from supervisor.core import names
from supervisor.core.state import FINAL, TRANSITIONS, Cue, IllegalTransition, JobState, step

ALLOWED = {
    ("scheduled", "due", "queued"),
    ("scheduled", "cancelled", "cancelled"),
    ("queued", "running", "running"),
    ("queued", "cancelled", "cancelled"),
    ("running", "completed", "completed"),
    ("running", "failed", "failed"),
    ("running", "cancelled", "cancelled"),
    ("running", "retrying", "scheduled"),
    ("running", "released", "queued"),
    ("completed", "retried", "queued"),
    ("failed", "retried", "queued"),
    ("cancelled", "retried", "queued"),
}


def test_the_table_is_the_one_of_the_design() -> None:
    assert {(str(state), str(cue), str(to)) for (state, cue), to in TRANSITIONS.items()} == ALLOWED


@pytest.mark.parametrize(("state", "cue"), list(product(JobState, Cue)), ids=str)
def test_a_step_is_in_the_table_or_refused(state: JobState, cue: Cue) -> None:
    if (state, cue) in TRANSITIONS:
        assert step(state, cue) is TRANSITIONS[state, cue]
        return
    with pytest.raises(IllegalTransition) as caught:
        step(state, cue)
    assert (caught.value.state, caught.value.cue) == (state, cue)
    assert str(state) in str(caught.value)


def test_the_words_are_those_of_the_interface() -> None:
    assert {str(state) for state in JobState} == set(names.STATES)
    assert {str(state) for state in FINAL} == names.FINAL_STATES


def test_only_a_user_moves_a_final_job() -> None:
    assert {cue for state, cue in TRANSITIONS if state in FINAL} == {Cue.RETRIED}
    assert all((state, Cue.RETRIED) in TRANSITIONS for state in FINAL)


def test_every_cue_and_every_state_is_used() -> None:
    assert {cue for _, cue in TRANSITIONS} == set(Cue)
    assert {state for state, _ in TRANSITIONS} | set(TRANSITIONS.values()) == set(JobState)


@given(st.lists(st.sampled_from(Cue), max_size=60))
def test_a_job_never_runs_twice_without_being_queued_between(cues: list[Cue]) -> None:
    state, history = JobState.QUEUED, [JobState.QUEUED]
    for cue in cues:
        try:
            state = step(state, cue)
        except IllegalTransition:
            continue
        history.append(state)
    for before, after in pairwise(history):
        assert (after is JobState.RUNNING) == (before is JobState.QUEUED and after is not JobState.CANCELLED)
