"""From the options of an HTTP submit to the fields of the control protocol's: durations, sizes and names as people
write them. Pure; raises RequestError naming the member.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from supervisor.core.errors import RequestError
from supervisor.core.names import RUNTIMES
from supervisor.core.units import parse_duration_s, parse_size_bytes
from supervisor.gateway.records import Options

NODE: Final = "node"
PLAIN: Final = ("queue", "priority", "retries", "on_loss", "network", "isolation", "on_conflict", "webhook")
DURATIONS: Final = {"timeout": "wall_s", "cpu": "cpu_s"}
SIZES: Final = {
    "memory": "memory_bytes",
    "file_size": "file_size_bytes",
    "disk": "disk_bytes",
    "output": "output_bytes",
}
COUNTS: Final = ("processes", "open_files")


def fields_of(options: Options, code: bytes | None) -> dict[str, Any]:
    """What a submit says of the job, but for its script and its `request_id`."""
    fields: dict[str, Any] = {name: value for name in PLAIN if (value := getattr(options, name)) is not None}
    for name in ("args", "env", "stdin", "params"):
        if getattr(options, name) not in (None, [], {}) or (name == "params" and options.params is not None):
            fields[name] = getattr(options, name)
    if options.merge:
        fields["merge"] = True
    if options.name is not None:
        fields["name"] = options.name
    kind = type_of(options, code)
    if kind is not None:
        fields["type"] = kind
    limits = _limits(options)
    if limits:
        fields["limits"] = limits
    if options.delay is not None:
        fields["delay_s"] = _seconds("delay", options.delay)
    if options.at is not None:
        fields["due_at"] = options.at
    if options.backoff is not None:
        fields["backoff"] = _backoff(options.backoff)
    if options.unique is not None:
        fields["unique_key"] = options.unique
    if options.after:
        fields["after"] = [_awaited(one) for one in options.after]
    return fields


def check_script(options: Options, code: bytes | None) -> None:
    """Raises `bad_request` where a script is missing."""
    if code is None and (options.type is None or options.type in RUNTIMES):
        kind = "" if options.type is None else f" of the type {options.type}"
        raise RequestError(
            "bad_request",
            f"a script{kind} needs `code` (in a form `file`); a job for a handler has its `type`, and no script",
        )


def type_of(options: Options, code: bytes | None) -> str | None:
    """The type to ask for: what was said; node for code that says nothing of itself; else the broker's to find."""
    if options.type is not None or code is None:
        return options.type
    name = (options.name or "").lower()
    told = code.startswith(b"#!") or any(name.endswith(ending) for endings in RUNTIMES.values() for ending in endings)
    return None if told else NODE


def file_name(options: Options, kind: str | None) -> str:
    """What the script is called if nobody called it anything."""
    if options.name is not None:
        return options.name
    return "code" + next(iter(RUNTIMES.get(kind or "", ())), "")


def _limits(options: Options) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    for name, field in DURATIONS.items():
        _add(limits, options, name, field, partial(_seconds, name))
    for name, field in SIZES.items():
        _add(limits, options, name, field, partial(_bytes, name))
    for name in COUNTS:
        _add(limits, options, name, name, lambda value: value)
    return limits


def _add(limits: dict[str, Any], options: Options, name: str, field: str, read: Callable[[Any], Any]) -> None:
    value = getattr(options, name)
    if value is not msgspec.UNSET:
        limits[field] = None if value is None or (isinstance(value, str) and value.strip() == "none") else read(value)


def _seconds(name: str, value: float | str) -> float:
    try:
        return parse_duration_s(value) if isinstance(value, str) else float(value)
    except ValueError as error:
        raise _bad(name, str(error)) from None


def _bytes(name: str, value: int | str) -> int:
    try:
        return parse_size_bytes(value) if isinstance(value, str) else value
    except ValueError as error:
        raise _bad(name, str(error)) from None


def _backoff(text: str) -> dict[str, float]:
    parts = [part.strip() for part in text.split(",")]
    if not 1 <= len(parts) <= 3:
        raise _bad("backoff", f"{text!r} is not BASE[,FACTOR[,CAP]] such as 2s or 2s,2,10m")
    fields = {"base_s": _seconds("backoff", parts[0])}
    if len(parts) > 1:
        try:
            fields["factor"] = float(parts[1])
        except ValueError:
            raise _bad("backoff", f"the factor {parts[1]!r} is not a number; write 2s,2,10m") from None
    if len(parts) > 2:
        fields["cap_s"] = _seconds("backoff", parts[2])
    return fields


def _awaited(value: int | str) -> dict[str, Any]:
    job, _, condition = str(value).partition(":")
    return {"job": int(job), "condition": condition or "ok"}


def _bad(name: str, sentence: str) -> RequestError:
    return RequestError("bad_request", f"`{name}`: {sentence}")
