"""What has been proven on this machine since it was booted: which interpreters run at which level of isolation.

Only successes are remembered, so that whoever mends a machine sees it at the next start. Losing the memory costs a
few milliseconds.
"""

from __future__ import annotations

import hashlib
import os
from typing import Final

from supervisor.runtime.interpreter import Interpreter

BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"


class ProofMemory:
    """One empty file for each proof, in the cache folder."""

    def __init__(self, cache_dir: str, slot_uid: int | None) -> None:
        self._cache_dir = cache_dir
        self._circumstances = f"{_boot_id()}:{os.geteuid()}:{slot_uid is None}"

    def knows(self, level: str, interpreter: Interpreter) -> bool:
        """Whether it has run there."""
        return os.path.exists(self._place(level, interpreter))

    def learn(self, level: str, interpreter: Interpreter) -> None:
        """It has just run there."""
        try:
            os.close(os.open(self._place(level, interpreter), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError:
            return

    def _place(self, level: str, interpreter: Interpreter) -> str:
        what = f"{self._circumstances}:{level}:{interpreter.path}:{interpreter.version}"
        return os.path.join(self._cache_dir, f"proof-{hashlib.sha256(what.encode()).hexdigest()[:32]}")


def _boot_id() -> str:
    with open(BOOT_ID, encoding="ascii") as file:
        return file.read().strip()
