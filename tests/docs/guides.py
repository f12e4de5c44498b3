"""What a guide claims of ours, found by kind: each word in code of its column `Here` must be a thing that there is."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator

import ctl
import supervisor
import supervisor.testing  # so that it is there to be named
from ctl.errors import WorkerctlError
from ctl.parser import main_parser, parse, split, verb_parser
from ctl.submission import submit_fields
from ctl.submit_options import submit_arguments
from ctl.verbs import VERBS
from supervisor.cli import _parser as daemon_parser
from supervisor.config import describe_settings
from supervisor.core.names import CODES, EVENTS, ISOLATION, REASONS, STATES
from tests.docs.pages import FENCE, first_cells, page, section

KEYS = frozenset(key for key, *_ in describe_settings())
VARIABLES = first_cells(section(page("SETTINGS.md"), "Environment variables"))
ENDPOINTS = first_cells(section(page("HTTP.md"), "The operations"))
OPTIONS = frozenset(
    option
    for parser in (daemon_parser(), main_parser(), *map(verb_parser, VERBS))
    for action in parser._actions
    for option in action.option_strings
)
WORDS = frozenset({*STATES, *REASONS, *CODES, *EVENTS, *ISOLATION, "ok", "any", "fail", "request_id"})
NOT_SUBMITTED = ("file", "files", "stdin_file", "main", "name", "args")
"""What of a submit is not looked at here: its files, which are not there."""


def command_error(command: str) -> str | None:
    """Why this is no command line of ours; None if it is one."""
    name, *words = shlex.split(command)
    try:
        if name.rpartition("/")[2] == "worker-supervisor":
            daemon_parser().parse_args(words)
        else:
            before, verb, after = split(words)
            parsed = parse(verb or "status", before, after)
            if verb in ("submit", "run"):
                _check_values({key: value for key, value in vars(parsed).items() if key != "env_file"})
    except (WorkerctlError, SystemExit) as error:
        return f"{command}: {error}"
    return None


def _check_values(said: dict[str, object]) -> None:
    parsed = type("Said", (), {**said, "env_file": None})()
    arguments = submit_arguments(parsed)  # type: ignore[arg-type]
    submit_fields({key: value for key, value in arguments.items() if key not in NOT_SUBMITTED})


def _is_option(code: str) -> bool:
    return code.startswith("-") and command_error(f"workerctl submit {code} x.js") is None


def _is_command(code: str) -> bool:
    return code.split()[0] in ("workerctl", "worker-supervisor") and command_error(code) is None


def _is_python(code: str) -> bool:
    first, *names = code.split(".")
    found: object = {"supervisor": supervisor, "context": supervisor.Context}.get(first)
    found = found or getattr(ctl, first, None) or getattr(supervisor, first, None)
    for name in names:
        found = getattr(found, name, None)
    return found is not None


KINDS: tuple[Callable[[str], bool], ...] = (
    _is_command,
    _is_option,
    KEYS.__contains__,
    VARIABLES.__contains__,
    ENDPOINTS.__contains__,
    WORDS.__contains__,
    _is_python,
)


def is_ours(code: str) -> bool:
    """Whether it is a command with legal options, an option, a setting, a variable, an endpoint, a word or a name."""
    return any(kind(code) for kind in KINDS)


def claims(text: str) -> list[str]:
    """The code in the columns `Here` of the tables."""
    return [code for cell in _column(text, "Here") for code in _codes(cell)]


def other_codes(text: str) -> list[str]:
    """The code everywhere but in fences and in the columns of other programs."""
    prose = [line for line in FENCE.sub("", text).splitlines() if not line.startswith(("|", "#"))]
    return _codes("\n".join(prose)) + [code for cell in _column(text, "What differs") for code in _codes(cell)]


def _codes(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def _column(text: str, head: str) -> Iterator[str]:
    at: int | None = None
    for line in FENCE.sub("", text).splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] if line.startswith("|") else []
        if not cells:
            at = None
        elif head in cells:
            at = cells.index(head)
        elif at is not None and set(cells[0]) != {"-", " "} and not set(cells[at]) <= {"-", " "}:
            yield cells[at]


def scheduled_commands(text: str) -> Iterator[str]:
    """Our commands in crontabs and units."""
    for match in FENCE.finditer(text):
        for line in match[2].splitlines():
            found = re.match(r"(?:(?:[\d*/,-]+ +){5}|ExecStart=)(\S*workerctl .*)", line)
            if found:
                yield found[1]
