"""Options as people write them, made into the fields of a submit. Raises InvalidRequest naming the option.

The limits' names on the wire are the record's; here are their options. Nothing has a default: what is not said is
the daemon's to decide.
"""

from __future__ import annotations

import re

from ctl.errors import invalid
from ctl.job import id_of
from ctl.numbers import is_number, job_number_of
from supervisor.core.units import parse_duration_s, parse_size_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from typing import Any

    from ctl.job import Job, Submitted

CONDITIONS = ("ok", "any", "fail")
_WHOLE = re.compile(r"[+-]?\d{1,100}", re.ASCII)
DURATIONS = {"timeout": "wall_s", "cpu": "cpu_s"}
SIZES = {"memory": "memory_bytes", "file_size": "file_size_bytes", "disk": "disk_bytes", "output": "output_bytes"}
COUNTS = {"processes": "processes", "open_files": "open_files"}
PLAIN = ("queue", "priority", "retries", "on_loss", "on_conflict", "network", "isolation", "webhook")
CONTENT = ("source", "main", "files", "stdin", "stdin_file")
"""What a job is made of, besides its file."""
OPTIONS = frozenset(
    {
        *DURATIONS,
        *SIZES,
        *COUNTS,
        *PLAIN,
        "delay",
        "at",
        "backoff",
        "merge",
        "env",
        "args",
        "runtime",
        "type",
        "params",
        "unique",
        "after",
    }
)


def submit_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that `options` stand for; an option that is None is unsaid. Raises InvalidRequest."""
    unknown = options.keys() - OPTIONS
    if unknown:
        legal = sorted({*OPTIONS, *CONTENT, "name", "request_id"})
        raise invalid(f"there is no option {', '.join(sorted(unknown))}; there are {', '.join(legal)}")
    if not options:
        return {}
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
    if "unique" in said:
        fields["unique_key"] = str(said["unique"])
    if said.get("after"):
        fields["after"] = [awaited(one) for one in said["after"]]
    if "backoff" in said:
        fields["backoff"] = backoff(said["backoff"])
    if said.get("merge"):
        fields["merge"] = True
    if said.get("env"):
        fields["env"] = {str(key): str(value) for key, value in said["env"].items()}
    if said.get("args"):
        fields["args"] = [str(argument) for argument in said["args"]]
    if "params" in options:
        fields["params"] = options["params"]
    if "type" in said:
        if "runtime" in said:
            raise invalid("--type and --runtime exclude each other: a runtime is the type of a script")
        fields["type"] = str(said["type"])
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
    if isinstance(value, int):
        return value
    if not isinstance(value, str) or _WHOLE.fullmatch(value.strip()) is None:
        raise invalid(f"{_dashed(option)}: {value!r} is not a whole number")
    return int(value)


def moment(value: str | datetime) -> str:
    """RFC 3339 UTC of a datetime or a text that `ctl.schedule` understands; without a zone it is local time."""
    from ctl.schedule import moment_of

    return moment_of(value)


def awaited(value: str | int | Job | Submitted | dict[str, Any]) -> dict[str, Any]:
    """A job to wait for: `42`, `"42:any"`, or a job itself (to complete); what is in the wire's form stays so."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, str):
        return {"job": id_of(value)}
    job, colon, condition = value.partition(":")
    if not (is_number(job) and job.strip("0")) or (colon and condition not in CONDITIONS):
        raise invalid(
            f"--after: {value!r} is not JOB[:CONDITION] such as 42 or 42:any; the conditions are ok (it must complete, "
            "the default), any (it must end) and fail (it must fail)"
        )
    return {"job": job_number_of(job), "condition": condition or "ok"}


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


def params_of(text: str) -> Any:
    """What `--params` says: JSON, or `@FILE` with JSON in it (`@-`: ours). Raises InvalidRequest."""
    import json

    if text.startswith("@"):
        text = _text_of(text[1:])
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise invalid(f"--params: not JSON: {error}; write it as --params '{{\"width\": 80}}', or @FILE") from None


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


def _text_of(path: str) -> str:
    import sys

    try:
        if path == "-":
            return sys.stdin.buffer.read().decode()
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise invalid(f"--params: cannot read {path}: {error}") from None


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
