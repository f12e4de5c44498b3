"""The manual pages, made from what prints `--help`, from the keys of the settings and from the table of exit codes.

man(7) macros alone, so that groff and mandoc both take them. What is said once and for all of files, signals and
variables stands here.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise
from typing import Final

from ctl import exits
from ctl.parser import main_parser, verb_module, verb_parser
from ctl.verbs import TAKES_SCRIPT, VERBS
from supervisor import __version__, cli
from supervisor.config import describe_settings
from supervisor.core.names import CODES

_SEE_ALSO: Final = ("workerctl(1)", "worker-supervisor(8)", "worker-supervisor-config(5)")
_EVERYWHERE: Final = "everywhere"
_ESCAPES: Final = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "~": r"\(ti", "^": r"\(ha", "…": "..."}
_MEANINGS: Final = {
    0: "done; of a job: it completed",
    1: "the job, or one of them, did not complete; health: degraded; doctor: warnings",
    2: "the request, an option or a setting is wrong; doctor: failures",
    3: "there is no such job, or it is not yours",
    4: "the state of the job does not allow it, or the unique key is taken",
    5: "no daemon answers, or it is stopping",
    6: "not allowed, or not supported here",
    7: "the daemon could not store it, or failed",
    8: "the queue is full",
    124: "the wait timed out",
    125: "run and submit --wait: there is no exit code of the job (refused, not started, lost)",
    128: "and N more: run and submit --wait: signal N ended the job",
    130: "interrupted",
    141: "who read the output has gone",
}
_COMMAND_FILES: Final = {
    "$XDG_RUNTIME_DIR/worker-supervisor/control.sock": "the socket of your own daemon",
    "/run/worker-supervisor/control.sock": "the socket of the machine's daemon, tried after it",
}
_COMMAND_VARIABLES: Final = {
    "WORKER_SOCKET": "the daemon's socket, and no other is tried",
    "NO_COLOR": "no colours",
    "COLUMNS": "width of tables on a terminal",
}
_DAEMON_FILES: Final = {
    "/etc/worker-supervisor/config.toml": "the settings of a daemon of root, see worker-supervisor-config(5)",
    "/var/lib/worker-supervisor": "its queue, outputs and lock",
    "/run/worker-supervisor/control.sock": "its socket",
    "$XDG_CONFIG_HOME/worker-supervisor/config.toml": "the settings of another user's",
    "$XDG_STATE_HOME/worker-supervisor": "its queue, outputs and lock (~/.local/state where that is not set)",
    "$XDG_RUNTIME_DIR/worker-supervisor/control.sock": "its socket",
}
_SIGNALS: Final = {
    "SIGTERM, SIGINT": "stop: running jobs have shutdown_timeout to end, then they are ended and queued again",
    "SIGHUP": "read the settings again, as `workerctl reload`",
}


def command_page() -> str:
    """workerctl(1)."""
    parser = main_parser()
    summary = (parser.description or "").partition("\n")[0]
    lines = _head("workerctl", 1, "queue scripts on this machine, watch them, and know why they died")
    lines += [".SH SYNOPSIS", r".B workerctl", r"[options] [\fIVERB\fR " + _text("…") + "]"]
    lines += [".SH DESCRIPTION", _text(summary), ".PP", _text("`workerctl` alone is `workerctl status`.")]
    lines += [_text("Data is on stdout, talk and errors on stderr."), ".SH OPTIONS", *_group(parser, None)]
    lines += [_text("These come before or after a verb, and belong to each of them.")]
    lines += [".SH VERBS", *_terms(VERBS.items())]
    for verb in VERBS:
        lines += _verb(verb)
    lines += [".SH EXIT STATUS", *_terms(_exit_rows())]
    lines += [_text("run and submit --wait exit with the job's own code where it has one.")]
    lines += [".SH ENVIRONMENT", *_terms(_COMMAND_VARIABLES.items()), ".SH FILES", *_terms(_COMMAND_FILES.items())]
    return _page(lines, "workerctl(1)")


def daemon_page() -> str:
    """worker-supervisor(8)."""
    parser = cli._parser()
    lines = _head("worker-supervisor", 8, "the daemon that runs jobs from a durable queue in isolated workers")
    lines += [".SH SYNOPSIS", ".B worker\\-supervisor", _text("[options] [check-config | doctor]")]
    lines += [".SH DESCRIPTION", _text(parser.description or "")]
    lines += [
        _text("It says one line, `ready`, on stderr when it answers, and needs no shell, no terminal and no other")
    ]
    lines += [_text("service. Under systemd it speaks sd_notify(3). workerctl(1) is what talks to it.")]
    lines += [".SH OPTIONS", *_group(parser, None), ".SH SIGNALS", *_terms(_SIGNALS.items())]
    examples, _, codes = (parser.epilog or "").partition("exit codes:")
    lines += [".SH EXIT STATUS", _text(" ".join(codes.split()))]
    lines += [".SH EXAMPLES", *_literal(examples.partition("\n")[2].rstrip().splitlines())]
    lines += [".SH FILES", *_terms(_DAEMON_FILES.items())]
    return _page(lines, "worker-supervisor(8)")


def settings_page() -> str:
    """worker-supervisor-config(5)."""
    lines = _head("worker-supervisor-config", 5, "the settings of worker-supervisor")
    lines += [".SH SYNOPSIS", _text("/etc/worker-supervisor/config.toml"), ".br"]
    lines += [_text("$XDG_CONFIG_HOME/worker-supervisor/config.toml"), ".SH DESCRIPTION"]
    lines += [
        _text("A TOML file. Nothing has to be set. Each key can also be said by a variable, WORKER_ and the key in"),
        _text("capitals with two underscores for a dot (WORKER_LOG__LEVEL), and by --set KEY=VALUE; a variable wins"),
        _text("over the file and a flag over both. A wrong key or value is an error that says what is legal."),
        ".PP",
        _text(
            "A duration is a number of seconds, or text such as 250ms or 1h30m. A size is a number of bytes, or text"
        ),
        _text("such as 512M, in powers of 1024. A file of a daemon of root must belong to root."),
    ]
    titles = {1: "DAEMON", 2: "{}", 3: "{}", 4: "{}"}
    for (depth, table), rows in groupby(describe_settings(), key=lambda row: _table_of(row[0])):
        lines.append(f".SH {_text(titles[depth].format(table.upper()))}")
        lines += _terms((key, f"({kind}; default: {default}) {says}") for key, kind, default, says in rows)
    lines += [
        ".SH EXAMPLES",
        *_literal(["[pools.scripts]", "replicas = 4", "", "[pools.scripts.limits]", 'wall = "5m"']),
    ]
    return _page(lines, "worker-supervisor-config(5)")


def _table_of(key: str) -> tuple[int, str]:
    parts = key.split(".")
    return len(parts), ".".join(parts[:-1])


def _verb(verb: str) -> Iterator[str]:
    parser = verb_parser(verb)
    yield f".SH {_text(verb.upper())}"
    yield rf"\fBworkerctl {_text(verb)}\fR [options] {_text(' '.join(_arguments(parser, verb)))}".rstrip()
    yield ".PP"
    yield from _paragraphs(parser.description or "")
    for group in parser._action_groups:
        if group.title != _EVERYWHERE:
            yield from _group(parser, group.title)
    yield ".PP"
    yield _text("Examples:")
    yield from _literal(verb_module(verb).EXAMPLES)


def _arguments(parser: argparse.ArgumentParser, verb: str) -> Iterator[str]:
    for action in parser._actions:
        if not action.option_strings:
            name = str(action.metavar or action.dest)
            yield {None: name, "?": f"[{name}]", "*": f"[{name}…]", "+": f"{name}…"}.get(action.nargs, name)
    if verb in TAKES_SCRIPT:
        yield "[-- ARGS…]"


def _group(parser: argparse.ArgumentParser, title: str | None) -> Iterator[str]:
    """The options of one group as terms; of all groups where no title is given."""
    groups = [group for group in parser._action_groups if title in (None, group.title)]
    for group in groups:
        actions = [one for one in group._group_actions if one.help != argparse.SUPPRESS and one.dest != "help"]
        if actions and title not in (None, "options", "positional arguments"):
            yield ".PP"
            yield rf"\fI{_text(group.title or '')}\fR"
        yield from _terms((_names(one), (one.help or "").replace("%%", "%")) for one in actions)


def _names(action: argparse.Action) -> str:
    if not action.option_strings:
        return str(action.metavar or action.dest)
    names = ", ".join(action.option_strings)
    return names if action.nargs == 0 else f"{names} {action.metavar or action.dest.upper()}"


def _exit_rows() -> Iterator[tuple[str, str]]:
    own = {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}
    missing = ({code.exit_status for code in CODES.values()} | own) - set(_MEANINGS)
    if missing:
        raise LookupError(f"exit codes without a meaning: {sorted(missing)}")
    for status, meaning in _MEANINGS.items():
        yield str(status), meaning


# The language of manual pages


def _head(name: str, section: int, says: str) -> list[str]:
    return [
        r".\" Made by packaging/generate.py.",
        f'.TH {_text(name.upper())} {section} "" "workerctl {__version__}" "Workerctl"',
        ".SH NAME",
        f"{_text(name)} \\- {_text(says)}",
    ]


def _page(lines: Iterable[str], itself: str) -> str:
    others = ", ".join(_text(page) for page in _SEE_ALSO if page != itself)
    whole = [*lines, ".SH SEE ALSO", others]
    # A paragraph that begins where a section, a term or another paragraph does is one too many.
    kept = [
        line for line, after in pairwise([*whole, ""]) if line != ".PP" or not after.startswith((".SH", ".TP", ".PP"))
    ]
    return (
        "\n".join(line for before, line in pairwise(["", *kept]) if line != ".PP" or not before.startswith(".SH"))
        + "\n"
    )


def _terms(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, says in rows:
        yield ".TP"
        yield rf"\fB{_text(name)}\fR"
        yield _text(says) or r"\&"
    yield ".PP"


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip())):
        if number:
            yield ".PP"
        # A block that is laid out by hand stays so.
        if any(line.startswith("  ") for line in paragraph.splitlines()):
            yield from _literal(paragraph.splitlines())
        else:
            yield _text(" ".join(paragraph.split()))


def _literal(lines: Iterable[str]) -> Iterator[str]:
    yield ".PP"
    yield ".nf"
    yield ".RS 4"
    yield from (_text(line) if line else r"\&" for line in lines)
    yield ".RE"
    yield ".fi"
    yield ".PP"


def _text(text: str) -> str:
    """`text` with nothing in it that the language of manual pages would take for its own."""
    escaped = "".join(
        _ESCAPES.get(letter) or (letter if letter.isascii() else rf"\[u{ord(letter):04X}]") for letter in text
    )
    return rf"\&{escaped}" if escaped.startswith(".") else escaped
