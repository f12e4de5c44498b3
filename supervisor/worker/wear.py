"""How worn a process is that does job after job: its lifespan, and what it has done of it."""

from __future__ import annotations

import os
import random
import time
from typing import Final

from supervisor.config import Pool
from supervisor.core.recycle import Lifespan, one_of, worn

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Wear:
    """One process's life so far."""

    def __init__(self, pool: Pool) -> None:
        usual = Lifespan(max_jobs=pool.max_jobs, max_rss_bytes=pool.max_rss_bytes, max_age_s=pool.max_age_s)
        self._span = one_of(usual, random.random())  # noqa: S311  spreads replicas, keeps no secret
        self._since = time.monotonic()
        self.jobs = 0
        self.rss_bytes = 0

    def worn(self) -> str | None:
        """Why it is to be replaced; None if it is not."""
        age_s = time.monotonic() - self._since
        return worn(self._span, jobs=self.jobs, rss_bytes=self.rss_bytes, age_s=age_s)


def own_rss_bytes() -> int:
    """What this very process has in memory now."""
    with open("/proc/self/statm", "rb", buffering=0) as file:
        return int(file.read(128).split()[1]) * _PAGE
