"""The code check: which lines of a script match which rules. Advice for people, and no sandbox.

Pure: text and rules in, findings out. A line is looked at up to its 2000th character, a text up to 256 KiB; the CPU
time of a check is bounded even where a pattern of the settings would take for ever.
Never: understands the code; says that a script is harmless.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Final

import msgspec

from supervisor.config import CheckRule
from supervisor.core.errors import RequestError
from supervisor.core.job import Finding

MAX_TEXT_BYTES: Final = 256 << 10
MAX_LINE: Final = 2000
MAX_FINDINGS: Final = 100
SHOWN_FINDINGS: Final = 5
CPU_S: Final = 0.2
REMEMBERED_CHARACTERS: Final = 4096
MOST_REMEMBERED: Final = 64

Compiled = tuple[re.Pattern[str], CheckRule]


@dataclass(frozen=True)
class Checked:
    """What was found. `note` says why not all of the script was looked at, None if it was."""

    findings: tuple[Finding, ...] = ()
    note: str | None = None


class Checker:
    """The rules by runtime, compiled once."""

    def __init__(self, rules: Sequence[CheckRule]) -> None:
        self._rules: dict[str, list[Compiled]] = {}
        for rule in rules:
            self._rules.setdefault(rule.runtime, []).append((re.compile(rule.pattern), rule))
        self._remembered: dict[tuple[str, str], Checked] = {}

    def knows(self, runtime: str) -> bool:
        """Whether there is any rule for such scripts."""
        return runtime in self._rules

    def check(self, runtime: str, text: str) -> Checked:
        """What the rules say of a script. For the main thread alone. A short one that comes again is known."""
        if len(text) > REMEMBERED_CHARACTERS:
            return self._look(runtime, text)
        checked = self._remembered.get((runtime, text))
        if checked is None:
            checked = self._look(runtime, text)
            if checked.note is None:
                if len(self._remembered) >= MOST_REMEMBERED:
                    self._remembered.clear()
                self._remembered[runtime, text] = checked
        return checked

    def _look(self, runtime: str, text: str) -> Checked:
        found: list[Finding] = []
        try:
            with _cpu_time(CPU_S):
                for finding in findings_of(text, self._rules.get(runtime, ())):
                    found.append(finding)
                    if len(found) == MAX_FINDINGS:
                        return Checked(tuple(found), f"the code check stopped at {MAX_FINDINGS} findings")
        except _OutOfTime:
            return Checked(tuple(found), f"the code check gave up after {CPU_S:g} s")
        return Checked(tuple(found))


def findings_of(text: str, rules: Sequence[Compiled]) -> Iterator[Finding]:
    """The findings line by line, in each line in the order of the rules."""
    for number, line in enumerate(text.split("\n"), 1):
        shown = line[:MAX_LINE].rstrip("\r")
        if shown:
            for pattern, rule in rules:
                if pattern.search(shown) is not None:
                    yield Finding(line=number, rule=rule.rule, message=rule.message)


def blocked(name: str, pool: str, checked: Checked) -> RequestError:
    """The refusal of a script by a pool that lets only scripts without findings pass."""
    shown = [f"line {one.line}: {one.rule}: {one.message}" for one in checked.findings[:SHOWN_FINDINGS]]
    shown += [f"{len(checked.findings) - SHOWN_FINDINGS} more"] if len(checked.findings) > SHOWN_FINDINGS else []
    shown += [] if checked.note is None else [checked.note]
    return RequestError(
        "blocked",
        f"the code check of pool {pool} blocks {name}: {'; '.join(shown)}\n"
        f"change the script, or the rules (setting pools.{pool}.check)",
        {"findings": msgspec.to_builtins(checked.findings)},
    )


class _OutOfTime(Exception):
    pass


@contextmanager
def _cpu_time(seconds: float) -> Iterator[None]:
    """Raises _OutOfTime inside once that much CPU time is used. Python's regex engine looks for signals as it goes."""

    def give_up(_: int, __: FrameType | None) -> None:
        raise _OutOfTime

    before = signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
