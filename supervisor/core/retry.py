"""What happens after an attempt: completed, failed, cancelled, tried again later, or run again at once.

Pure: the clock and the dice are arguments. Losses and interruptions never use up `--retries`; losses have a
budget of their own, a shutdown none.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final, Literal

import msgspec

from supervisor.core.state import Cue

OnLoss = Literal["requeue", "fail"]

LOSS_BUDGET: Final = 3
"""So many losses are run again; the next one fails the job as poison."""

LOSSES: Final = frozenset({"worker_lost", "host_lost"})
NOT_COUNTED: Final = LOSSES | {"interrupted"}

RETRYABLE: Final = (
    "exit",
    "signal",
    "timeout",
    "cpu_limit",
    "memory_limit",
    "process_limit",
    "file_limit",
    "output_limit",
    "spawn_error",
)
"""The reasons after which a retry may help, and which a pool's `retry_on` may name."""


class Backoff(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The wait before try n+1 is a random share of `base_s * factor**n`, at most `cap_s` (full jitter)."""

    base_s: float = 1.0
    factor: float = 2.0
    cap_s: float = 3600.0

    def delay_s(self, failures: int, dice: float) -> float:
        """Seconds to wait after the `failures`-th failure (1 for the first); `dice` in [0, 1)."""
        exponent = min(failures - 1, 64)
        try:
            ceiling = min(self.cap_s, self.base_s * self.factor**exponent)
        except OverflowError:
            ceiling = self.cap_s
        return ceiling * dice


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What counts of a job's past: `failures` and `losses` before this attempt, since the last manual retry."""

    retries: int = 0
    failures: int = 0
    losses: int = 0
    on_loss: OnLoss = "requeue"
    cancel_requested: bool = False


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with the job. `delay_s` is set for a retry; the counters are the new values.

    `message` is a sentence that replaces the outcome's, where the settlement adds something to it.
    """

    cue: Cue
    failures: int
    losses: int
    delay_s: float | None = None
    message: str | None = None


def decide(
    reason: str,
    retryable: bool,
    history: History,
    backoff: Backoff,
    dice: float,
    message: str = "",
    retry_on: Container[str] = RETRYABLE,
) -> Settlement:
    """The settlement of an attempt that ended with `reason`; only the reasons in `retry_on` are tried again."""
    failures, losses = history.failures, history.losses
    if history.cancel_requested:
        return Settlement(cue=Cue.CANCELLED, failures=failures, losses=losses)
    if reason == "ok":
        return Settlement(cue=Cue.COMPLETED, failures=failures, losses=losses)
    if reason in NOT_COUNTED:
        return _after_loss(reason, history, message)
    failures += 1
    if retryable and reason in retry_on and failures <= history.retries:
        return Settlement(cue=Cue.RETRY, failures=failures, losses=losses, delay_s=backoff.delay_s(failures, dice))
    return Settlement(cue=Cue.FAILED, failures=failures, losses=losses)


def decide_unstarted(history: History, message: str) -> Settlement:
    """The settlement of a job whose worker died while it was about to start it. It did not run, so it may run once more
    whatever `on_loss` says, but not for ever: what kills each worker that prepares it would stop the whole pool."""
    if history.cancel_requested:
        return Settlement(cue=Cue.CANCELLED, failures=history.failures, losses=history.losses)
    return _within_budget(history, history.losses + 1, message)


def _after_loss(reason: str, history: History, message: str) -> Settlement:
    losses = history.losses + (reason in LOSSES)
    if history.on_loss == "fail":
        why = f"{message}; --on-loss fail says not to run it twice"
        return Settlement(cue=Cue.FAILED, failures=history.failures, losses=losses, message=why)
    return _within_budget(history, losses, message)


def _within_budget(history: History, losses: int, message: str) -> Settlement:
    if losses > LOSS_BUDGET:
        why = f"{message}; this was loss {losses} of this job, it is poison: it very likely kills its worker"
        return Settlement(cue=Cue.FAILED, failures=history.failures, losses=losses, message=why)
    return Settlement(cue=Cue.RELEASED, failures=history.failures, losses=losses)
