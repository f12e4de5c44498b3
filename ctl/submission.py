"""Options as people write them, made into the fields of a submit. Raises InvalidRequest naming the option.

The limits' names on the wire are the record's; here are their options. Nothing has a default: what is not said is
the daemon's to decide.
"""

from __future__ import annotations

from ctl.errors import invalid
from supervisor.core.units import parse_duration_s, parse_size_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from typing import Any

DURATIONS = {"timeout": "wall_s", "cpu": "cpu_s"}
SIZES = {"memory": "memory_bytes", "file_size": "file_size_bytes", "disk": "disk_bytes", "output": "output_bytes"}
COUNTS = {"processes": "processes", "open_files": "open_files"}
PLAIN = ("queue", "priority", "retries", "on_loss", "network", "isolation")
OPTIONS = frozenset({*DURATIONS, *SIZES, *COUNTS, *PLAIN, "delay", "at", "backoff", "merge", "env", "args", "runtime"})


def submit_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that `options` stand for; an option that is None is unsaid. Raises InvalidRequest."""
    unknown = sorted(set(options) - OPTIONS)
    if unknown:
        raise invalid(f"there is no option {', '.join(unknown)}; there are {', '.join(sorted(OPTIONS))}")
    said = {name: value for name, value in options.items() if value is not None}
    fields: dict[str, Any] = {name: said[name] for name in PLAIN if name in said}
    for name in ("priority", "retries"):
        if name in said:
            fields[name] = _whole(name, said[name])
    limits = _limits(said)
    if limits:
        fields["limits"] = limits
    if "delay" in said and "at" in said:
        raise invalid("--delay and --at exclude each other")
    if "delay" in said:
        fields["delay_s"] = duration_s("delay", said["delay"])
    if "at" in said:
        fields["due_at"] = moment(said["at"])
    if "backoff" in said:
        fields["backoff"] = backoff(said["backoff"])
    if said.get("merge"):
        fields["merge"] = True
    if said.get("env"):
        fields["env"] = {str(key): str(value) for key, value in said["env"].items()}
    if said.get("args"):
        fields["args"] = [str(argument) for argument in said["args"]]
    if "runtime" in said:
        fields["type"] = said["runtime"]
    return fields


def _limits(said: Mapping[str, Any]) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    for option, field in DURATIONS.items():
        if option in said:
            limits[field] = None if _is_none(said[option]) else duration_s(option, said[option])
    for option, field in SIZES.items():
        if option in said:
            limits[field] = None if _is_none(said[option]) else _size_bytes(option, said[option])
    for option, field in COUNTS.items():
        if option in said:
            limits[field] = None if _is_none(said[option]) else _whole(option, said[option])
    return limits


def _is_none(value: object) -> bool:
    return isinstance(value, str) and value.strip().lower() == "none"


def duration_s(option: str, value: str | float) -> float:
    """Seconds of `value`: a number, or a text such as `1h30m`. `option` is named by the error."""
    try:
        return float(value) if isinstance(value, int | float) else parse_duration_s(value)
    except ValueError as error:
        raise invalid(f"{_dashed(option)}: {error}") from None


def _size_bytes(option: str, value: str | int) -> int:
    try:
        return value if isinstance(value, int) else parse_size_bytes(value)
    except ValueError as error:
        raise invalid(f"{_dashed(option)}: {error}") from None


def _whole(option: str, value: str | int) -> int:
    try:
        return int(value)
    except ValueError:
        raise invalid(f"{_dashed(option)}: {value!r} is not a whole number") from None


def moment(value: str | datetime) -> str:
    """RFC 3339 UTC of an ISO 8601 text or a datetime; without a zone it is this machine's local time."""
    from datetime import UTC, datetime

    try:
        when = datetime.fromisoformat(value) if isinstance(value, str) else value
        return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    except (ValueError, OverflowError):
        raise invalid(
            f"--at: {value!r} is not a date and time: write 2026-01-31T08:00 (local time), or with a zone as in "
            "2026-01-31T08:00:00Z"
        ) from None


def backoff(value: str | Mapping[str, float]) -> dict[str, float]:
    """The fields of `BASE[,FACTOR[,CAP]]`; BASE and CAP are durations."""
    if not isinstance(value, str):
        return dict(value)
    parts = [part.strip() for part in value.split(",")]
    if not 1 <= len(parts) <= 3:
        raise invalid(f"--backoff: {value!r} is not BASE[,FACTOR[,CAP]] such as 2s or 2s,2,10m")
    fields = {"base_s": duration_s("backoff", parts[0])}
    if len(parts) > 1:
        try:
            fields["factor"] = float(parts[1])
        except ValueError:
            raise invalid(f"--backoff: the factor {parts[1]!r} is not a number; write 2s,2,10m") from None
    if len(parts) > 2:
        fields["cap_s"] = duration_s("backoff", parts[2])
    return fields


def environment(assignments: Iterable[str], files: Iterable[str] = ()) -> dict[str, str]:
    """Variables of `K=V` words and of files that hold one such a line; the words win over the files."""
    variables: dict[str, str] = {}
    for path in files:
        for number, line in enumerate(_lines(path), 1):
            text = line.strip()
            if text and not text.startswith("#"):
                name, value = _assignment(text.removeprefix("export "), f"{path}, line {number}")
                variables[name] = _unquoted(value)
    for word in assignments:
        name, value = _assignment(word, "--env")
        variables[name] = value
    return variables


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise invalid(f"--env-file: cannot read {path}: {error}") from None


def _assignment(text: str, where: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    name = name.strip()
    if not equals or not name:
        raise invalid(f"{where}: {text!r} is not NAME=VALUE")
    return name, value


def _unquoted(value: str) -> str:
    value = value.strip()
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def _dashed(option: str) -> str:
    return "--" + option.replace("_", "-")
