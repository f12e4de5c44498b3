"""What follows an attempt: budgets, losses, cancels, delays."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from supervisor.core import names
from supervisor.core.retry import (
    LOSS_BUDGET,
    LOSSES,
    NOT_COUNTED,
    RETRYABLE,
    Backoff,
    History,
    OnLoss,
    decide,
    decide_unstarted,
)
from supervisor.core.state import Cue, JobState, step

BACKOFFS = st.builds(
    Backoff,
    base_s=st.floats(0, 1e300),
    factor=st.floats(0, 1e300),
    cap_s=st.floats(0, 1e300),
)
HISTORIES = st.builds(
    History,
    retries=st.integers(0, 1000),
    failures=st.integers(0, 1000),
    losses=st.integers(0, 10),
    on_loss=st.sampled_from(["requeue", "fail"]),
    cancel_requested=st.booleans(),
)
DICE = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("reason", "retryable", "history", "cue", "failures", "losses"),
    [
        ("ok", True, {}, Cue.COMPLETED, 0, 0),
        ("ok", True, {"failures": 2, "losses": 1}, Cue.COMPLETED, 2, 1),
        ("ok", True, {"cancel_requested": True}, Cue.CANCELLED, 0, 0),
        ("exit", True, {}, Cue.FAILED, 1, 0),
        ("exit", True, {"retries": 1}, Cue.RETRY, 1, 0),
        ("exit", True, {"retries": 1, "failures": 1}, Cue.FAILED, 2, 0),
        ("exit", True, {"retries": 5, "cancel_requested": True}, Cue.CANCELLED, 0, 0),
        ("exit", True, {"retries": 1, "on_loss": "fail"}, Cue.RETRY, 1, 0),
        ("timeout", True, {"retries": 2, "failures": 1}, Cue.RETRY, 2, 0),
        ("memory_limit", True, {"retries": 1}, Cue.RETRY, 1, 0),
        ("spawn_error", False, {"retries": 5}, Cue.FAILED, 1, 0),
        ("spawn_error", True, {"retries": 5}, Cue.RETRY, 1, 0),
        ("stuck", False, {"retries": 5}, Cue.FAILED, 1, 0),
        ("cancelled", False, {"retries": 5}, Cue.FAILED, 1, 0),
        ("rejected", False, {"retries": 5}, Cue.FAILED, 1, 0),
        ("worker_lost", True, {}, Cue.RELEASED, 0, 1),
        ("worker_lost", True, {"losses": 2}, Cue.RELEASED, 0, 3),
        ("worker_lost", True, {"losses": 3}, Cue.FAILED, 0, 4),
        ("host_lost", True, {"losses": 3, "retries": 9}, Cue.FAILED, 0, 4),
        ("worker_lost", True, {"on_loss": "fail", "retries": 9}, Cue.FAILED, 0, 1),
        ("worker_lost", True, {"cancel_requested": True, "losses": 3}, Cue.CANCELLED, 0, 3),
        ("interrupted", True, {"losses": 3, "failures": 1}, Cue.RELEASED, 1, 3),
        ("interrupted", True, {"on_loss": "fail"}, Cue.FAILED, 0, 0),
        ("interrupted", True, {"on_loss": "fail", "cancel_requested": True}, Cue.CANCELLED, 0, 0),
    ],
)
def test_what_follows(
    reason: str, retryable: bool, history: dict[str, Any], cue: Cue, failures: int, losses: int
) -> None:
    settlement = decide(reason, retryable, History(**history), Backoff(), 0.5, "it ended")
    assert (settlement.cue, settlement.failures, settlement.losses) == (cue, failures, losses)


def test_a_loss_that_ends_the_job_says_why() -> None:
    poison = decide("worker_lost", True, History(losses=LOSS_BUDGET), Backoff(), 0.5, "the worker died")
    assert poison.message is not None
    assert poison.message.startswith("the worker died; this was loss 4")
    told_not_to = decide("host_lost", True, History(on_loss="fail"), Backoff(), 0.5, "the machine died")
    assert told_not_to.message == "the machine died; --on-loss fail says not to run it twice"


@pytest.mark.parametrize(
    ("backoff", "failures", "dice", "delay_s"),
    [
        (Backoff(), 1, 0.5, 0.5),
        (Backoff(), 2, 0.5, 1.0),
        (Backoff(), 3, 0.25, 1.0),
        (Backoff(), 1, 0.0, 0.0),
        (Backoff(), 13, 0.5, 1800.0),
        (Backoff(base_s=10, factor=1), 9, 0.5, 5.0),
        (Backoff(base_s=10, cap_s=4), 1, 0.5, 2.0),
        (Backoff(base_s=0), 9, 0.5, 0.0),
        (Backoff(base_s=1e300, factor=1e300), 1000, 0.5, 1800.0),
    ],
)
def test_delays(backoff: Backoff, failures: int, dice: float, delay_s: float) -> None:
    assert backoff.delay_s(failures, dice) == delay_s


@given(BACKOFFS, st.integers(1, 10**6), DICE)
def test_a_delay_is_never_negative_nor_above_its_cap(backoff: Backoff, failures: int, dice: float) -> None:
    delay_s = backoff.delay_s(failures, dice)
    assert math.isfinite(delay_s)
    assert 0 <= delay_s <= backoff.cap_s


@given(st.sampled_from(sorted(names.REASONS)), st.booleans(), HISTORIES, BACKOFFS, DICE)
def test_every_settlement_can_happen_and_counts_once(
    reason: str, retryable: bool, history: History, backoff: Backoff, dice: float
) -> None:
    settlement = decide(reason, retryable, history, backoff, dice, "it ended")
    step(JobState.RUNNING, settlement.cue)
    assert (settlement.delay_s is not None) == (settlement.cue is Cue.RETRY)
    assert (settlement.cue is Cue.CANCELLED) == history.cancel_requested
    assert settlement.failures - history.failures in (0, 1)
    assert settlement.losses - history.losses in (0, 1)
    if reason in NOT_COUNTED:
        assert settlement.failures == history.failures
    if reason not in LOSSES:
        assert settlement.losses == history.losses
    if not history.cancel_requested:
        assert (settlement.cue is Cue.COMPLETED) == (reason == "ok")


@given(st.integers(0, 20), st.sampled_from(RETRYABLE))
def test_a_job_that_always_fails_is_tried_once_more_than_it_has_retries(retries: int, reason: str) -> None:
    failures, tries = 0, 0
    while True:
        tries += 1
        settlement = decide(reason, True, History(retries=retries, failures=failures), Backoff(), 0.5)
        failures = settlement.failures
        if settlement.cue is not Cue.RETRY:
            break
    assert (tries, settlement.cue) == (retries + 1, Cue.FAILED)


@pytest.mark.parametrize("reason", RETRYABLE)
def test_only_the_reasons_that_the_pool_names_are_tried_again(reason: str) -> None:
    history = History(retries=1)
    others = [other for other in RETRYABLE if other != reason]
    assert decide(reason, True, history, Backoff(), 0.5, retry_on=[reason]).cue is Cue.RETRY
    assert decide(reason, True, history, Backoff(), 0.5, retry_on=others).cue is Cue.FAILED
    assert decide(reason, False, history, Backoff(), 0.5, retry_on=[reason]).cue is Cue.FAILED
    assert decide("worker_lost", True, history, Backoff(), 0.5, retry_on=[]).cue is Cue.RELEASED


def test_what_may_be_retried_is_every_failure_that_another_try_may_cure() -> None:
    assert set(RETRYABLE) == set(names.REASONS) - NOT_COUNTED - {"ok", "cancelled", "dependency", "rejected", "stuck"}


def test_a_job_that_always_loses_its_worker_runs_four_times() -> None:
    losses, tries = 0, 0
    while True:
        tries += 1
        settlement = decide("worker_lost", True, History(retries=100, losses=losses), Backoff(), 0.5, "lost")
        losses = settlement.losses
        if settlement.cue is not Cue.RELEASED:
            break
    assert (tries, settlement.cue) == (LOSS_BUDGET + 1, Cue.FAILED)


@pytest.mark.parametrize("on_loss", ["requeue", "fail"])
def test_a_job_that_never_started_is_given_to_four_workers_whatever_on_loss_says(on_loss: OnLoss) -> None:
    losses = 0
    for expected in range(1, LOSS_BUDGET + 1):
        settled = decide_unstarted(History(failures=2, losses=losses, on_loss=on_loss), "its worker died")
        assert (settled.cue, settled.failures, settled.losses) == (Cue.RELEASED, 2, expected)
        losses = settled.losses
    settled = decide_unstarted(History(failures=2, losses=losses, on_loss=on_loss), "its worker died")
    assert (settled.cue, settled.failures, settled.losses) == (Cue.FAILED, 2, LOSS_BUDGET + 1)
    assert settled.message is not None and settled.message.startswith("its worker died; this was loss 4 of this job")


def test_a_cancelled_job_that_never_started_is_cancelled_and_nothing_is_counted() -> None:
    settled = decide_unstarted(History(losses=LOSS_BUDGET, cancel_requested=True), "its worker died")
    assert (settled.cue, settled.losses) == (Cue.CANCELLED, LOSS_BUDGET)
