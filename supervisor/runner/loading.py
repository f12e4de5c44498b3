"""Finds the handler class that a pool names, and says in one sentence why it cannot be had. Runs people's imports."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterable
from typing import Final

from supervisor.runner.handler import JobWorker

_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_SCRIPTS: Final = frozenset({"node", "python", "shell", "exec"})


class BadHandler(Exception):
    """The module was imported, but there is no usable handler in it."""


def load(handler: str, python_path: Iterable[str] = ()) -> type[JobWorker]:
    """The class of `package.module:Class`. Raises BadHandler, and whatever the import raises."""
    sys.path[:0] = [path for path in python_path if path not in sys.path]
    module_name, _, class_name = handler.partition(":")
    found: object = importlib.import_module(module_name)
    for name in class_name.split("."):
        if not hasattr(found, name):
            raise BadHandler(f"{module_name} has no {name!r}")
        found = getattr(found, name)
    if not (isinstance(found, type) and issubclass(found, JobWorker)):
        raise BadHandler(f"{handler} is no class derived from supervisor.JobWorker")
    return found


def types_of(found: type[JobWorker]) -> list[str]:
    """The job types that the class names; raises BadHandler if one is no usable name."""
    types: object = found.types
    if not isinstance(types, set | frozenset | list | tuple) or not all(isinstance(kind, str) for kind in types):
        raise BadHandler(f"{found.__name__}.types must be a set of names, such as {{'resize'}}")
    for kind in types:
        if _WORD.fullmatch(kind) is None:
            raise BadHandler(
                f"{found.__name__}.types: {kind!r} is no name: 1 to 64 letters, digits, dots, dashes and underscores"
            )
        if kind in _SCRIPTS:
            raise BadHandler(f"{found.__name__}.types: {kind} is a type of scripts; a handler needs a name of its own")
    return sorted(types)
