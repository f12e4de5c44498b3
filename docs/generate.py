"""Rewrites the generated parts of these pages from the code; `--check` only says which of them are stale.

A generated part stands between `<!-- generated: NAME ARGUMENT -->` and `<!-- end -->`. In a table of fields the
last column, the meaning, is written by hand: it is kept for each field, and a field without one is an error.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import inspect

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ctl import parser as ctl_parser
from supervisor import cli
from supervisor.broker import admission, chunk, server, session
from supervisor.config import describe_settings
from supervisor.config.http import HTTP
from supervisor.config.keys import DAEMON, LIMIT, LOG, POOL, QUEUE, RETENTION
from supervisor.core import dependency, errors, job, limits, names, outcome, retry, state
from supervisor.gateway import api, link, meter, rest, scrape, sse
from supervisor.wire import codec, control, frame, lease
from tests.sandbox import escapes

DOCS: Final = Path(__file__).resolve().parent
PART: Final = re.compile(r"(<!-- generated: ([^>]*?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
UNWRITTEN: Final = "?"

STRUCTS: Final[dict[str, type]] = {
    "ContentRef": control.ContentRef,
    "After": dependency.After,
    "Limits": limits.LimitsRequest,
    "Backoff": retry.Backoff,
    "Progress": job.Progress,
    "Outcome": outcome.Outcome,
    "Lease": lease.Lease,
    "Settled": lease.Settled,
    "Order": lease.Order,
    "JobSpec": job.JobSpec,
    "Content": job.Content,
    "Finding": job.Finding,
}
FLAGS: Final = {
    "state_dir": "--state-dir",
    "socket": "--socket",
    "pools.scripts.replicas": "--workers",
    "log.level": "--log-level",
    "log.format": "--log-format",
    "log.file": "--log-file",
}
"""The settings that have a flag of their own; `--set KEY=VALUE` is the flag of all others."""


def main(arguments: Sequence[str]) -> int:
    """0 if everything is, or now is, up to date."""
    os.environ |= {"COLUMNS": "100", "NO_COLOR": "1"}  # they decide how help is laid out
    check = "--check" in arguments
    complaints = []
    for page in sorted(DOCS.glob("*.md")):
        before = page.read_text()
        after = render(before)
        complaints += [f"{page.name}: {field} has no meaning" for field in unwritten(after)]
        if _squeezed(before) == _squeezed(after):
            continue
        if check:
            complaints.append(f"{page.name} is stale: run `python docs/generate.py`")
        else:
            page.write_text(after)
            print(f"{page.name}: rewritten")
    print("\n".join(complaints), file=sys.stderr, end="\n" if complaints else "")
    return 1 if complaints else 0


def render(text: str) -> str:
    """The page with its generated parts made anew."""

    def part(match: re.Match[str]) -> str:
        name, _, argument = match[2].partition(" ")
        lines = GENERATORS[name](argument, _meanings(match[3]))
        return f"{match[1]}\n" + "\n".join(lines) + f"\n\n{match[4]}"

    return PART.sub(part, text)


def unwritten(text: str) -> list[str]:
    """The fields of a page whose meaning nobody has written."""
    return re.findall(rf"^\| (`\w+`) \|.*\| {re.escape(UNWRITTEN)} \|$", text, re.MULTILINE)


def _squeezed(text: str) -> str:
    """Without what differs between Python releases in the layout of help: spaces and line ends."""
    return " ".join(text.split())


def _meanings(block: str) -> dict[str, str]:
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", block, re.MULTILINE)
    return dict(rows)


def _table(head: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> list[str]:
    return [_row(head), _row(["---"] * len(head)), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


# Fields of messages


def _op(name: str, meanings: dict[str, str]) -> list[str]:
    struct = codec.OPS[name]
    return [*_docstring(struct), "", *_fields(struct, meanings, skip=("id",))]


def _struct(name: str, meanings: dict[str, str]) -> list[str]:
    return _fields(STRUCTS[name], meanings)


def _docstring(struct: type) -> list[str]:
    return [line.strip() for line in (struct.__doc__ or "").strip().splitlines()]


def _fields(struct: type, meanings: dict[str, str], skip: Sequence[str] = ()) -> list[str]:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    rows = [
        (f"`{field.encode_name}`", type_words(field.type), _default(field), meanings.get(field.encode_name, UNWRITTEN))
        for field in info.fields
        if field.encode_name not in skip
    ]
    return _table(("Field", "Type", "Default", "Meaning"), rows) if rows else ["It has no fields but `op` and `id`."]


def _default(field: inspect.Field) -> str:
    if field.required:
        return "required"
    if field.default is not msgspec.NODEFAULT:
        return f"`{_encoded(field.default)}`"
    if field.default_factory is not msgspec.NODEFAULT:
        return f"`{_encoded(field.default_factory())}`"
    return "unset"


def _encoded(value: object) -> str:
    return msgspec.json.encode(value).decode()


NO_NEWLINE = r"(?!\n)"
"""What makes the `$` of Python's patterns the very end, as a reader takes it."""


def type_words(kind: inspect.Type) -> str:
    """A type as a reader of the page understands it."""
    match kind:
        case inspect.UnionType():
            members = [member for member in kind.types if member != inspect.type_info(msgspec.UnsetType)]
            return " or ".join(type_words(member) for member in members)
        case inspect.IntType():
            return "integer" + _range(kind.ge, kind.le)
        case inspect.FloatType():
            return "number" + _range(kind.ge, kind.le)
        case inspect.StrType():
            words = _range(kind.min_length, kind.max_length, " characters")
            return f"string{words}" + (f" matching `{kind.pattern.removesuffix(NO_NEWLINE)}`" if kind.pattern else "")
        case inspect.VarTupleType():
            words = _range(kind.min_length, kind.max_length, "")
            return f"array{words} of {type_words(kind.item_type)}"
        case inspect.TupleType():
            return f"array of {len(kind.item_types)}: {', '.join(type_words(item) for item in kind.item_types)}"
        case inspect.DictType():
            words = _range(kind.min_length, kind.max_length, " members")
            return f"object{words} of {type_words(kind.value_type)}"
        case inspect.LiteralType():
            return " or ".join(f"`{json.dumps(value)}`" for value in kind.values)
        case inspect.StructType():
            shown = next((name for name, struct in STRUCTS.items() if struct is kind.cls), kind.cls.__name__)
            if shown == "Limits" or kind.cls is limits.Limits:
                return "[Limits](#limits)"
            return f"[{shown}](#{shown.lower()})"
        case inspect.BoolType():
            return "boolean"
        case inspect.NoneType():
            return "null"
        case inspect.RawType() | inspect.AnyType():
            return "any JSON value"
    raise TypeError(f"no words for {kind}")


def _range(low: float | None, high: float | None, unit: str = "") -> str:
    if low is None and high is None:
        return ""
    if low is None:
        return f", at most {_number(high)}{unit},".rstrip(",") if unit else f" of at most {_number(high)}".rstrip()
    if high is None:
        return f", {_number(low)} or more{unit}"
    return f", {_number(low)} … {_number(high)}{unit}"


def _number(value: float | None) -> str:
    return "2^53" if value == 2**53 else str(value)


# Words


def _states(_: str, __: dict[str, str]) -> list[str]:
    rows = [(f"`{name}`", "yes" if name in names.FINAL_STATES else "no", what) for name, what in names.STATES.items()]
    return _table(("State", "Final", "Meaning"), rows)


def _transitions(_: str, __: dict[str, str]) -> list[str]:
    rows = [(f"`{before}`", f"`{cue}`", f"`{after}`") for (before, cue), after in state.TRANSITIONS.items()]
    return _table(("From", "Event", "To"), rows)


def _reasons(_: str, meanings: dict[str, str]) -> list[str]:
    rows = [(f"`{name}`", what, meanings.get(name, UNWRITTEN)) for name, what in names.REASONS.items()]
    return _table(("Reason", "Meaning", "What then"), rows)


def _evidence(_: str, __: dict[str, str]) -> list[str]:
    return _table(("Evidence", "Meaning"), [(f"`{name}`", what) for name, what in names.EVIDENCE.items()])


def _isolation(_: str, __: dict[str, str]) -> list[str]:
    return _table(("Level", "Meaning"), [(f"`{name}`", what) for name, what in names.ISOLATION.items()])


def _events(_: str, meanings: dict[str, str]) -> list[str]:
    rows = [(f"`{name}`", what, meanings.get(name, UNWRITTEN)) for name, what in names.EVENTS.items()]
    return _table(("Event", "What happened", "Members of `data`"), rows)


def _codes(_: str, __: dict[str, str]) -> list[str]:
    rows = [
        (f"`{name}`", str(code.exit_status), str(code.http_status), code.meaning) for name, code in names.CODES.items()
    ]
    return _table(("Code", "Exit code", "HTTP", "Meaning"), rows)


def _numbers(_: str, __: dict[str, str]) -> list[str]:
    rows = [
        ("a request, as a line", f"{frame.MAX_LINE} bytes"),
        ("an answer, as a line", f"{frame.MAX_ANSWER} bytes"),
        ("time for a request's line, from its first byte", f"{session.FRAME_S:g} s"),
        ("time that answers may lie unread once the buffers are full", f"{session.UNREAD_S:g} s"),
        ("requests under way on one connection", str(session.MAX_UNDER_WAY)),
        ("connections", str(server.MAX_CONNECTIONS)),
        ("`source`, and `stdin`, each", f"{job.INLINE_BYTES} bytes"),
        ("`args` and `env` together", f"{job.MAX_ARGS_ENV_BYTES} bytes"),
        ("`params`", f"{admission.MAX_PARAMS_BYTES} bytes"),
        ("a job's result", f"{job.MAX_RESULT_BYTES} bytes"),
        ("a job's progress", f"{job.MAX_PROGRESS_BYTES} bytes"),
        ("output in one item of `follow`", f"{chunk.CHUNK_BYTES} bytes"),
    ]
    return _table(("What", "At most"), rows)


def _exits(_: str, __: dict[str, str]) -> list[str]:
    rows = [
        (str(errors.EXIT_OK), "stopped: by `workerctl stop`, SIGTERM or SIGINT"),
        (str(errors.EXIT_SETTINGS), "a setting, flag or variable is wrong; the message names it"),
        (str(errors.EXIT_HELD), "another daemon holds the state folder, or answers on the socket"),
        (str(errors.EXIT_STORAGE), "the database could not be read or written: start it again"),
        (str(errors.EXIT_SCHEMA), "the database is newer than this release, or broken; it was left as it is"),
    ]
    return _table(("Exit code", "Meaning"), rows)


# Settings


def _settings(which: str, __: dict[str, str]) -> list[str]:
    rows = []
    for key, _, default, description in describe_settings():
        if _group(key) == which:
            flag = FLAGS.get(key.replace("NAME", "scripts"))
            rows.append(
                (f"`{key}`", _legal(key), default, f"`{variable(key)}`", f"`{flag}`" if flag else "", description)
            )
    return _table(("Key", "Value", "Default", "Environment", "Flag", "Meaning"), rows)


def variable(key: str) -> str:
    """The environment variable of a key."""
    return "WORKER_" + key.upper().replace(".", "__")


def _group(key: str) -> str:
    parts = key.split(".")
    return {1: "daemon", 2: parts[0], 3: parts[0].removesuffix("s"), 4: parts[2] if len(parts) == 4 else ""}[len(parts)]


def _legal(key: str) -> str:
    tables = {
        "log": LOG,
        "http": HTTP,
        "retention": RETENTION,
        "queues": QUEUE,
        "pools": LIMIT if key.count(".") == 3 else POOL,
    }
    table = tables.get(key.partition(".")[0], DAEMON)
    kind = table[key.rpartition(".")[2]].kind
    return " or ".join(kind.name.split(" | ")) if kind.name.startswith(("duration", "size", "text")) else kind.legal


# HTTP


def _endpoints(_: str, __: dict[str, str]) -> list[str]:
    broker, counts = link.Link(""), meter.Meter()
    rows = []
    for one in api.endpoints(rest.Rest(broker, counts), sse.Streams(broker, counts, 1.0)):
        names_of = [f"`{field.encode_name}`" for field in msgspec.structs.fields(one.query)]
        role = "none" if one.is_open else "read" if one.method == "GET" else "write"
        rows.append((f"`{one.method} {one.path}`", role, ", ".join(names_of), one.summary))
    return _table(("Request", "Role", "Query", "What it is"), rows)


def _metrics(_: str, __: dict[str, str]) -> list[str]:
    counts = meter.Meter()
    status = {"version": "", "uptime_s": 0.0, "queues": []}
    moment = scrape.families({"status": "healthy"}, status, [], counts)
    rows = [
        (one.name + ("_total" if one.type == "counter" else ""), one.type, tuple(one._labelnames), one.documentation)
        for one in moment
    ] + counts.described
    return _table(
        ("Metric", "Type", "Labels", "Meaning"),
        [(f"`{name}`", kind, ", ".join(f"`{label}`" for label in labels), says) for name, kind, labels, says in rows],
    )


# Help


def _help(verb: str, __: dict[str, str]) -> list[str]:
    if verb == "worker-supervisor":
        text = cli._parser().format_help()
    else:
        text = (ctl_parser.verb_parser(verb) if verb else ctl_parser.main_parser()).format_help()
    return ["```text", *text.rstrip().splitlines(), "```"]


# Escapes


def _escapes(daemon: str, __: dict[str, str]) -> list[str]:
    """What is expected of each attempt; `tests/sandbox/test_sandbox_escapes.py` tries each and compares."""
    columns = escapes.columns_of(names.ISOLATION, root=daemon == "root")
    heads = [column.partition("/")[0] for column in columns]
    rows = [
        (attempt.what, *("**possible**" if attempt.expected(column) else "refused" for column in columns))
        for attempt in escapes.ATTEMPTS
    ]
    return _table(("attempt of a job", *heads), rows)


GENERATORS: Final[dict[str, Callable[[str, dict[str, str]], list[str]]]] = {
    "op": _op,
    "endpoints": _endpoints,
    "metrics": _metrics,
    "struct": _struct,
    "states": _states,
    "transitions": _transitions,
    "reasons": _reasons,
    "evidence": _evidence,
    "isolation": _isolation,
    "events": _events,
    "codes": _codes,
    "numbers": _numbers,
    "exits": _exits,
    "settings": _settings,
    "help": _help,
    "escapes": _escapes,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
