"""A sentence of an explanation and the knob that belongs to it, and how such knobs are written. Pure."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from supervisor.config import Pool
from supervisor.config.keys import LIMIT
from supervisor.core.limits import OPTION_OF
from supervisor.core.units import format_duration, format_size

US: Final = 1_000_000
_KEY_OF: Final = {key.field: key.name for key in LIMIT.values()}


class Sentence(NamedTuple):
    """`says` is for people; `change` is the option, command or setting that would change it, None if nothing does."""

    says: str
    change: str | None = None


def count_of(number: int, noun: str, plural: str | None = None) -> str:
    """`1 job`, `3 jobs`."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def listed(words: list[str], most: int = 8) -> str:
    """`a, b and c`; of many only the first ones."""
    if len(words) > most:
        words = [*words[:most], f"{len(words) - most} more"]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def limit_words(name: str, value: float | None) -> str:
    """A limit for people: `10 min`, `512 MiB`, `256`, `no limit`."""
    if value is None:
        return "no limit"
    if name.endswith("_bytes"):
        return format_size(int(value))
    return format_duration(value) if name.endswith("_s") else f"{value:g}"


def option_value(name: str, value: float) -> str:
    """The same as an option takes it: `20m`, `1G`, `512`."""
    units = (
        ((1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K"))
        if name.endswith("_bytes")
        else ((3600, "h"), (60, "m"), (1, "s"))
        if name.endswith("_s")
        else ()
    )
    for size, unit in units:
        if value >= size and value % size == 0:
            return f"{value / size:.0f}{unit}"
    return f"{value:.0f}" if float(value).is_integer() else f"{value:g}"


def raise_limit(name: str, limits: dict[str, Any], pool: Pool | None) -> str | None:
    """What raises a limit: its option with twice the value, within the pool's maximum, or the setting of that."""
    value = limits.get(name)
    if value is None:
        return None
    wanted = max(2 * value, 1)
    maximum = getattr(pool.maxima, name) if pool is not None else None
    if maximum is not None and wanted > maximum:
        if value >= maximum and pool is not None:
            return f"setting pools.{pool.name}.max.{_KEY_OF[name]}, which allows {limit_words(name, maximum)} at most"
        wanted = maximum
    return f"{OPTION_OF[name]} {option_value(name, wanted)}"


def stop(sentence: str) -> str:
    """The sentence with its full stop."""
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."
