"""One setting as one source gave it: checked against its key, and remembered with where it stands."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from supervisor.config.checks import read_checks
from supervisor.config.http import HTTP, read_webhooks
from supervisor.config.keys import DAEMON, LIMIT, LOG, POOL, POOL_NAME, QUEUE, QUEUE_NAME, RETENTION, Key
from supervisor.core.errors import SettingsError
from supervisor.core.queues import EVERY_QUEUE

Path = tuple[str, ...]
"""A key as its parts: ("pools", "scripts", "limits", "wall")."""


@dataclass(frozen=True)
class Entry:
    """`value` is what the key's kind read; `source` is the file, variable or flag."""

    path: Path
    source: str
    value: object


Entries = dict[Path, Entry]
CHECKS: Final = ("checks",)
WEBHOOKS: Final = ("webhooks",)


def read_table(table: Mapping[str, object], source: str, path: Path = ()) -> Entries:
    """All entries of a (nested) table; raises SettingsError naming source, key and what is legal."""
    entries: Entries = {}
    for name, value in table.items():
        at = (*path, name)
        if at == CHECKS:
            entries[at] = Entry(at, source, read_checks(value, source))
        elif at == WEBHOOKS:
            entries[at] = Entry(at, source, read_webhooks(value, source))
        elif not _is_table(at):
            entries[at] = read_entry(at, value, source)
        elif isinstance(value, Mapping):
            _check_name(at, source)
            entries |= read_table(value, source, at)
            # A table without keys declares its pool (or queue) all the same.
            if len(at) == 2:
                entries.setdefault(at, Entry(at, source, None))
        else:
            raise SettingsError(f"{source}: {dotted(at)} is a table: write [{dotted(at)}] and its keys below")
    return entries


def read_entry(path: Path, value: object, source: str) -> Entry:
    """The entry of one key; raises SettingsError."""
    if path in (CHECKS, WEBHOOKS):
        raise SettingsError(f"{source}: {path[0]} are set in the settings file alone, in [[{path[0]}]] tables")
    keys, tables = _legal_in(path[:-1], source)
    key = keys.get(path[-1])
    if key is None:
        raise SettingsError(f"{source}: there is no key {dotted(path)!r}{_hint(path[-1], [*keys, *tables])}")
    _check_name(path[:2], source)
    try:
        return Entry(path, source, key.kind.read(value))
    except ValueError as error:
        sentence = str(error) or f"it must be {key.kind.legal}"
        raise SettingsError(f"{source}: {dotted(path)} = {value!r}: {sentence}") from None


def dotted(path: Path) -> str:
    """The key as people write it."""
    return ".".join(path)


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The word of `words` that `word` was probably meant to be."""
    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.5)
    return found[0] if found else None


def _legal_in(path: Path, source: str) -> tuple[dict[str, Key], tuple[str, ...]]:
    match path:
        case ():
            return DAEMON, ("log", "http", "pools", "queues", "retention", "checks", "webhooks")
        case ("log",):
            return LOG, ()
        case ("pools", _):
            return POOL, ("limits", "max")
        case ("pools", _, "limits" | "max"):
            return LIMIT, ()
        case ("retention",):
            return RETENTION, ()
        case ("http",):
            return HTTP, ()
        case ("queues", _):
            return QUEUE, ()
        case ("queues",):
            raise SettingsError(f"{source}: queues holds tables, one a queue: write [queues.NAME] and its keys below")
        case ("pools",):
            raise SettingsError(f"{source}: pools holds tables, one a pool: write [pools.NAME] and its keys below")
    keys, tables = _legal_in(path[:-1], source)
    raise SettingsError(f"{source}: there is no table {dotted(path)!r}{_hint(path[-1], [*keys, *tables])}")


def _is_table(path: Path) -> bool:
    match path:
        case ("http",) | ("retention",) | ("queues",) | ("queues", _):
            return True
        case ("log",) | ("pools",) | ("pools", _) | ("pools", _, "limits" | "max"):
            return True
    return False


def _check_name(path: Path, source: str) -> None:
    match path:
        case ("queues", name) if name != EVERY_QUEUE and re.fullmatch(QUEUE_NAME, name, re.ASCII) is None:
            raise SettingsError(
                f"{source}: {name!r} is no name for a queue: it must be of letters, digits, dots, - and _, begin with "
                'a letter or digit and be at most 64 long; "*" means every queue without a table of its own'
            )
    if len(path) == 2 and path[0] == "pools" and re.fullmatch(POOL_NAME, path[1], re.ASCII) is None:
        raise SettingsError(
            f"{source}: {path[1]!r} is no name for a pool: it must be of lower-case letters, digits, - and _, "
            "begin with a letter, hold no __ and be at most 32 long"
        )


def _hint(word: str, legal: list[str]) -> str:
    guess = nearest(word, legal)
    return f"{f'; did you mean {guess!r}?' if guess else ''}; legal here: {', '.join(legal)}"
