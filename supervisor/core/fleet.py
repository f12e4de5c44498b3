"""When to start a dead child again, which slots a pool is to have, and who counts as hung. Values in, values out."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from supervisor.core.outcome import signal_name

HEALTHY_AFTER_S: Final = 60.0
"""A child that lived this long starts over with its next death counted as the first."""
PARK_AFTER_DEATHS: Final = 5
PARK_WITHIN_S: Final = 60.0
WORKER_DELAY_CAP_S: Final = 60.0
BROKER_DELAYS_S: Final = (0.0, 0.2, 0.5, 1.0)
GATEWAY_DELAYS_S: Final = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
GATEWAY_WORKS_AFTER_S: Final = 5.0
"""A gateway that lived so long had come up: its death is the first of a row."""
BEATS_A_PERIOD: Final = 3
"""A child beats this often in the time after which its silence counts as a hang."""
BROKER_STARTS: Final = 5
"""So many broker starts in a row that never became ready end the arbiter."""
RECYCLE_WORD: Final = "recycle: "


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


def exit_reason(how: str, code: int | None, signal: int | None, said: str, renewal: str) -> str:
    """Why a worker process is over, in a word or two that can be counted: `SIGKILL`, `exit 6`, `max_jobs`, `hung`.

    `how`: it `left` as it was told (for `renewal`), made room (`recycled`), was `killed` by us, or `died`. `said` is
    our verdict or its own last words, whose first word is the reason where it was ours to give.
    """
    if how == "left":
        return renewal or "stopped"
    if how in ("recycled", "killed"):
        word = said.removeprefix(RECYCLE_WORD).partition(" ")[0].rstrip(":,;")
        return {"": how, "grew": "max_rss", "was": "shutdown"}.get(word, word)
    if signal is not None:
        return signal_name(signal)
    return "unknown" if code is None else f"exit {code}"


def after_broker_death(unready_starts: int) -> float | None:
    """Seconds until the broker's next start, None when it has failed to become ready too often in a row."""
    if unready_starts >= BROKER_STARTS:
        return None
    return BROKER_DELAYS_S[min(unready_starts, len(BROKER_DELAYS_S) - 1)]


def after_gateway_death(streak: int, lived_s: float) -> tuple[int, float]:
    """How many deaths in a row this one makes, and seconds until the next start. It is never given up."""
    streak = 1 if lived_s >= GATEWAY_WORKS_AFTER_S else streak + 1
    return streak, GATEWAY_DELAYS_S[min(streak, len(GATEWAY_DELAYS_S)) - 1]


def missing_numbers(present: Collection[int], replicas: int) -> list[int]:
    """A pool's slots are numbered from 1 to its replicas, whatever came and went before."""
    return [number for number in range(1, replicas + 1) if number not in present]


def free_indices(used: Collection[int], size: int, wanted: int) -> list[int]:
    """The lowest `wanted` indices below `size` that are not in use; fewer if there are not so many."""
    free = (index for index in range(size) if index not in used)
    return [index for index, _ in zip(free, range(wanted), strict=False)]


def silence_s(now_s: float, beat_s: float, since_s: float) -> float:
    """For how long a child has been silent: since its last beat, or since it was last given a fresh period."""
    return now_s - max(beat_s, since_s)


def overslept(now_s: float, due_s: float, interval_s: float) -> bool:
    """Whether the one who looks was itself so late (stopped, suspended, starved) that nobody's silence means much."""
    return now_s - due_s > interval_s
