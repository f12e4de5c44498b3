"""How the program that takes this one's place is started: with the same flags, by the same or another interpreter."""

from __future__ import annotations

import sys
from typing import Final, NamedTuple

_MODULE: Final = ("-m", "supervisor")
_NO_CURRENT_FOLDER: Final = "-P"


class Commands(NamedTuple):
    """The daemon itself, and the check whether its code can take over. The first word is a path."""

    serve: list[str]
    preflight: list[str]


def commands(python: str | None) -> Commands:
    """Those of `python`, None for the interpreter that runs this."""
    daemon = [*program(python), *_MODULE]
    return Commands([*daemon, *sys.argv[1:]], [*daemon, "--preflight", *sys.argv[1:]])


def program(python: str | None = None) -> list[str]:
    """The interpreter with the options that this one was started with."""
    return [python or sys.executable, *_interpreter_options()]


def _interpreter_options() -> list[str]:
    """What stood between the interpreter and the program.

    Started by its script, the daemon did not look for modules in the current folder; `-m` alone would.
    """
    by_module = getattr(sys.modules["__main__"], "__spec__", None) is not None
    before = len(sys.orig_argv) - len(sys.argv[1:]) - (len(_MODULE) if by_module else 1)
    options = sys.orig_argv[1:before]
    return options if by_module or _NO_CURRENT_FOLDER in options else [*options, _NO_CURRENT_FOLDER]
