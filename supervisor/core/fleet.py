"""When to start a dead child again: at once, later, or not any more. Values in, values out."""

from __future__ import annotations

from typing import Final

import msgspec

HEALTHY_AFTER_S: Final = 60.0
"""A child that lived this long starts over with its next death counted as the first."""
PARK_AFTER_DEATHS: Final = 5
PARK_WITHIN_S: Final = 60.0
WORKER_DELAY_CAP_S: Final = 60.0
BROKER_DELAYS_S: Final = (0.0, 0.2, 0.5, 1.0)
BROKER_STARTS: Final = 5
"""So many broker starts in a row that never became ready end the arbiter."""


class Deaths(msgspec.Struct, frozen=True):
    """The recent deaths of one slot: how many in a row, and when (monotonic seconds) those of the last minute were."""

    streak: int = 0
    recent: tuple[float, ...] = ()


class Restart(msgspec.Struct, frozen=True):
    """What to do with the slot: `delay_s` None means parked."""

    deaths: Deaths
    delay_s: float | None


def after_worker_death(deaths: Deaths, lived_s: float, now_s: float) -> Restart:
    """The first replacement is at once, then after 1, 2, 4 … 60 s; five deaths within 60 s park the slot."""
    streak = 1 if lived_s >= HEALTHY_AFTER_S else deaths.streak + 1
    recent = (*(at for at in deaths.recent if now_s - at < PARK_WITHIN_S), now_s)[-PARK_AFTER_DEATHS:]
    known = Deaths(streak, recent)
    if len(recent) >= PARK_AFTER_DEATHS:
        return Restart(known, None)
    delay_s = 0.0 if streak == 1 else min(WORKER_DELAY_CAP_S, 2.0 ** min(streak - 2, 10))
    return Restart(known, delay_s)


def after_broker_death(unready_starts: int) -> float | None:
    """Seconds until the broker's next start, None when it has failed to become ready too often in a row."""
    if unready_starts >= BROKER_STARTS:
        return None
    return BROKER_DELAYS_S[min(unready_starts, len(BROKER_DELAYS_S) - 1)]
