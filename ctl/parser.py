"""One parser for each verb, built when that verb is asked for; the global options stand before or after the verb.

What follows `--` belongs to the script and is never looked at.
"""

from __future__ import annotations

import argparse
from importlib import import_module

from ctl.console import STDERR, STDOUT, Console, escape, write_all
from ctl.errors import invalid
from ctl.verbs import TAKES_SCRIPT, VERBS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import Any, NoReturn

    from _typeshed import SupportsWrite

EPILOG = """\
`workerctl` alone is `workerctl status`. `workerctl VERB --help` has the options and examples of a verb.

examples:
  workerctl run hello.js
  workerctl submit --timeout 30s --memory 256M work.js -- first second
  workerctl logs -f @last
  workerctl list --state failed
"""


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps line ends. Its width is given: argparse would load half of the standard library to find it."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=min(Console().width or 100, 120) - 2)


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises InvalidRequest instead of leaving, and writes as the console does."""

    def error(self, message: str) -> NoReturn:
        """Raises InvalidRequest."""
        raise invalid(f"{message}\nsee `{self.prog} --help`")

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        import sys

        write_all(STDERR if file is sys.stderr else STDOUT, message.encode())

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            legal = ", ".join(map(str, action.choices))
            raise argparse.ArgumentError(action, f"{escape(repr(value))} is not one of {legal}")


def split(argv: Sequence[str]) -> tuple[list[str], str | None, list[str]]:
    """The options before the verb, the verb if there is one, and what follows it."""
    before: list[str] = []
    words = iter(enumerate(argv))
    for index, word in words:
        if not word.startswith("-") or word == "-":
            return before, word, list(argv[index + 1 :])
        before.append(word)
        if word == "--socket":
            _, path = next(words, (0, None))
            before += [] if path is None else [path]
    return before, None, []


def verb_module(verb: str) -> ModuleType:
    """The module of a verb; raises InvalidRequest with the nearest ones for a word that is none."""
    if verb in VERBS:
        return import_module(f"ctl.commands.{verb.replace('-', '_')}")
    import os
    from difflib import get_close_matches

    shown = escape(verb)
    near = [f"`workerctl {word}`" for word in get_close_matches(verb, VERBS)]
    if os.path.exists(verb):
        near = [f"`workerctl run {shown}`"]
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(VERBS)}"
    raise invalid(f"there is no verb {shown!r}; {hint}\nsee `workerctl --help`")


def verb_parser(verb: str) -> Parser:
    """The parser of one verb, with its own options and the global ones."""
    module = verb_module(verb)
    parser = Parser(
        prog=f"workerctl {verb}",
        description=getattr(module, "DESCRIPTION", VERBS[verb][0].upper() + VERBS[verb][1:] + "."),
        epilog="examples:\n" + "".join(f"  {line}\n" for line in module.EXAMPLES),
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    add_globals(parser)
    return parser


def add_globals(parser: argparse.ArgumentParser) -> None:
    """The options that every verb takes."""
    group = parser.add_argument_group("everywhere")
    group.add_argument("--socket", metavar="PATH", help="the daemon's socket (else WORKER_SOCKET, yours, the system's)")
    group.add_argument("--json", action="store_true", help="JSON on stdout and nothing else")
    group.add_argument("-q", "--quiet", action="store_true", help="only ids on stdout, no talk on stderr")
    group.add_argument("--no-color", action="store_true", help="no colours (also: NO_COLOR, or not a terminal)")


def main_parser() -> Parser:
    """The parser for a command line without a verb; it carries the help of the whole."""
    verbs = "".join(f"  {verb:<12} {what}\n" for verb, what in VERBS.items())
    parser = Parser(
        prog="workerctl",
        usage="workerctl [options] [VERB …]",
        description=f"Queue scripts on this machine, watch them, and know why they died.\n\nverbs:\n{verbs}",
        epilog=EPILOG,
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    add_globals(parser)
    return parser


def parse(verb: str, before: Sequence[str], after: Sequence[str]) -> argparse.Namespace:
    """The options of a verb's command line; raises InvalidRequest. `args` is what followed `--`."""
    own = list(after)
    rest: list[str] = []
    if "--" in own and verb in TAKES_SCRIPT:
        index = own.index("--")
        own, rest = own[:index], own[index + 1 :]
    parser = verb_parser(verb)
    outside, unknown = globals_parser(f"workerctl {verb}").parse_known_args(before)
    if unknown:
        raise invalid(f"{escape(unknown[0])} does not belong before the verb\nsee `workerctl --help`")
    options, extra = parser.parse_known_args(own)
    if extra:
        parser.error(_extra(verb, extra))
    for name, value in vars(outside).items():
        setattr(options, name, getattr(options, name) or value)
    options.args = rest
    return options


def globals_parser(prog: str) -> Parser:
    """The parser of what stands before a verb."""
    parser = Parser(prog=prog, formatter_class=Formatter, allow_abbrev=False, add_help=False)
    add_globals(parser)
    return parser


def _extra(verb: str, extra: Sequence[str]) -> str:
    word = escape(extra[0])
    if verb not in TAKES_SCRIPT:
        return f"there is no option {word}" if word.startswith("-") else f"unexpected: {word}"
    return f"there is no option {word} here; what is meant for the script comes after --"
