"""One line of the table: what was measured, the bar it is held against, and whether it is met."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """`value` is compared with `bar`; `at_most` says in which direction. `detail` names what it was made of."""

    what: str
    value: float
    bar: float
    at_most: bool
    unit: str
    detail: str

    @property
    def met(self) -> bool:
        """Whether the bar is met."""
        return self.value <= self.bar if self.at_most else self.value >= self.bar


@dataclass(frozen=True)
class NotMeasured:
    """A line that could not be measured here, and why."""

    what: str
    why: str


Line = Figure | NotMeasured


def at_most(what: str, value: float, bar: float, detail: str, unit: str = "x") -> Figure:
    """A figure that must not be greater than its bar."""
    return Figure(what, value, bar, True, unit, detail)


def at_least(what: str, value: float, bar: float, detail: str, unit: str = "x") -> Figure:
    """A figure that must not be smaller than its bar."""
    return Figure(what, value, bar, False, unit, detail)


def median(values: Iterable[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def p99(values: Sequence[float]) -> float:
    """The value that one in a hundred exceeds; of fewer than a hundred, the greatest."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


def ms(seconds: float) -> str:
    """Seconds as people read them here."""
    return f"{seconds * 1000:.2f} ms"


def row(line: Line) -> str:
    """The line of a Markdown table."""
    if isinstance(line, NotMeasured):
        return f"| {line.what} | | not measured | {line.why} |"
    sign = "<=" if line.at_most else ">="
    verdict = "met" if line.met else "**missed**"
    return (
        f"| {line.what} | {sign} {line.bar:g} {line.unit} | {line.value:.3g} {line.unit}, {verdict} | {line.detail} |"
    )
