"""What one attempt may use. Limits are resolved once, at submit: a job carries numbers, never defaults.

`None` means "no limit of that kind". Floors are where an interpreter would hang or abort at start instead of
failing with a clear error (measured on Node 20 to 24).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from supervisor.core.errors import RequestError
from supervisor.core.units import format_duration, format_size

MIB: Final = 1 << 20


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a job, whole. Seconds of wall clock and CPU of the tree; bytes; counts."""

    wall_s: float | None = 600.0
    cpu_s: float | None = 600.0
    memory_bytes: int | None = 512 * MIB
    processes: int | None = 256
    open_files: int | None = 1024
    file_size_bytes: int | None = 256 * MIB
    disk_bytes: int | None = 256 * MIB
    output_bytes: int | None = 16 * MIB


class LimitsRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a submit asks for: unset takes the pool's default, `null` asks for no limit."""

    wall_s: float | msgspec.UnsetType | None = msgspec.UNSET
    cpu_s: float | msgspec.UnsetType | None = msgspec.UNSET
    memory_bytes: int | msgspec.UnsetType | None = msgspec.UNSET
    processes: int | msgspec.UnsetType | None = msgspec.UNSET
    open_files: int | msgspec.UnsetType | None = msgspec.UNSET
    file_size_bytes: int | msgspec.UnsetType | None = msgspec.UNSET
    disk_bytes: int | msgspec.UnsetType | None = msgspec.UNSET
    output_bytes: int | msgspec.UnsetType | None = msgspec.UNSET


LIMIT_NAMES: Final = Limits.__struct_fields__

OPTION_OF: Final[dict[str, str]] = {
    "wall_s": "--timeout",
    "cpu_s": "--cpu",
    "memory_bytes": "--memory",
    "processes": "--processes",
    "open_files": "--open-files",
    "file_size_bytes": "--file-size",
    "disk_bytes": "--disk",
    "output_bytes": "--output",
}

_SMALLEST: Final[dict[str, float]] = {
    "wall_s": 0.001,
    "cpu_s": 0.001,
    "memory_bytes": 8 * MIB,
    "processes": 16,
    "open_files": 64,
    "file_size_bytes": 0,
    "disk_bytes": 1 * MIB,
    "output_bytes": 0,
}
_SMALLEST_FOR_TYPE: Final[dict[tuple[str, str], float]] = {("node", "memory_bytes"): 64 * MIB}
_LARGEST: Final = 2.0**53


@lru_cache(maxsize=256)
def resolve(asked: LimitsRequest, defaults: Limits, maxima: Limits, job_type: str) -> Limits:
    """The limits a job gets; raises RequestError (`bad_request`, `above_maximum`, `below_floor`).

    An unset CPU limit follows the wall limit that was asked for: a job allowed to run an hour may compute an hour.
    """
    values: dict[str, float | int | None] = {}
    for name in LIMIT_NAMES:
        wanted = getattr(asked, name)
        values[name] = getattr(defaults, name) if wanted is msgspec.UNSET else wanted
    if asked.cpu_s is msgspec.UNSET and asked.wall_s is not msgspec.UNSET:
        values["cpu_s"] = values["wall_s"] if maxima.cpu_s is None else _smaller(values["wall_s"], maxima.cpu_s)
    for name, value in values.items():
        if getattr(asked, name) is not msgspec.UNSET:
            _check(name, value, getattr(maxima, name), job_type)
    return msgspec.convert(values, Limits)


def _smaller(a: float | None, b: float) -> float:
    return b if a is None else min(a, b)


def _check(name: str, value: float | None, maximum: float | None, job_type: str) -> None:
    option = OPTION_OF[name]
    if value is None:
        if maximum is not None:
            raise RequestError(
                "above_maximum",
                f"limits.{name} ({option}): no limit at all is not allowed, the pool's maximum is {_say(name, maximum)}",
                {"limit": name, "maximum": maximum},
            )
        return
    if not 0 <= value <= _LARGEST:
        raise RequestError("bad_request", f"limits.{name} ({option}): {value} is not a usable number", {"limit": name})
    if maximum is not None and value > maximum:
        raise RequestError(
            "above_maximum",
            f"limits.{name} ({option}): {_say(name, value)} is above the pool's maximum of {_say(name, maximum)}",
            {"limit": name, "maximum": maximum},
        )
    floor = _SMALLEST_FOR_TYPE.get((job_type, name), _SMALLEST[name])
    if value < floor:
        raise RequestError(
            "below_floor",
            f"limits.{name} ({option}): {_say(name, value)} is below the least that is allowed, {_say(name, floor)}"
            + ("" if name.endswith("_s") else _why_a_floor(job_type)),
            {"limit": name, "floor": floor},
        )


def _why_a_floor(job_type: str) -> str:
    return f": with less a {job_type} job would hang or abort at its start instead of failing clearly"


def _say(name: str, value: float) -> str:
    if name.endswith("_bytes"):
        return format_size(int(value))
    return format_duration(value) if name.endswith("_s") else f"{value:g}"
