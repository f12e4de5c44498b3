"""The kinds of value a setting may have: how one is read, and the words that say what is legal.

`read` takes what TOML gives (or text, from the environment and flags) and raises ValueError with a sentence.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from supervisor.core.units import parse_duration_s, parse_size_bytes


@dataclass(frozen=True)
class Kind:
    """`name` is for tables, `legal` completes the sentence "it must be …"."""

    name: str
    legal: str
    read: Callable[[object], object]


def choice(*words: str) -> Kind:
    """One of `words`."""

    def read(value: object) -> object:
        if value not in words:
            raise ValueError
        return value

    return Kind(" | ".join(words), f"one of {', '.join(words)}", read)


def count(low: int, high: int) -> Kind:
    """A whole number from `low` to `high`."""

    def read(value: object) -> object:
        return _whole_number(value, low, high)

    return Kind("number", f"a whole number from {low} to {high}", read)


def names(pattern: str, what: str) -> Kind:
    """A list of words that match `pattern`; as text, with commas between them."""
    compiled = re.compile(pattern, re.ASCII)

    def read(value: object) -> object:
        if isinstance(value, str):
            value = [word.strip() for word in value.split(",") if word.strip()]
        if not isinstance(value, list) or not all(isinstance(word, str) and compiled.fullmatch(word) for word in value):
            raise ValueError
        return tuple(dict.fromkeys(value))

    return Kind("list", f"a list of {what}", read)


def matching(pattern: str, what: str) -> Kind:
    """A text that matches `pattern`."""
    compiled = re.compile(pattern)

    def read(value: object) -> object:
        if not isinstance(value, str) or compiled.fullmatch(value) is None:
            raise ValueError
        return value

    return Kind("text", what, read)


def paths() -> Kind:
    """A list of folders; as text, with colons between them."""

    def read(value: object) -> object:
        if isinstance(value, str):
            value = [path for path in value.split(":") if path]
        if not isinstance(value, list):
            raise ValueError  # noqa: TRY004
        return tuple(_path(path) for path in value)

    return Kind("list", "a list of folders", read)


def or_none(kind: Kind) -> Kind:
    """`kind`, or the word `none` for "no limit"."""

    def read(value: object) -> object:
        return None if value == "none" else kind.read(value)

    return Kind(f"{kind.name} | none", f"{kind.legal}, or none for no limit", read)


def _whole_number(value: object, low: int, high: int) -> int:
    if isinstance(value, str) and re.fullmatch(r"\d{1,15}", value.strip(), re.ASCII):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError
    return value


def _duration_s(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError  # noqa: TRY004
    if isinstance(value, str):
        return parse_duration_s(value)
    if not math.isfinite(value) or value < 0:
        raise ValueError
    return parse_duration_s(f"{value:f}")


def _size_bytes(value: object) -> int:
    if isinstance(value, str):
        return parse_size_bytes(value)
    return _whole_number(value, 0, 2**62 - 1)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError
    return value


def _path(value: object) -> str:
    text = _text(value)
    if text.startswith("~"):
        text = os.path.expanduser(text)
    return os.path.abspath(text)


def _absolute_path(value: object) -> str:
    text = _text(value)
    if not os.path.isabs(text):
        raise ValueError
    return os.path.normpath(text)


DURATION = Kind("duration", 'a duration such as 90, "1.5s", "250ms" or "1h30m" (a number is seconds)', _duration_s)
SIZE = Kind("size", 'a size such as 1048576, "512M" or "2G" (a number is bytes; K M G are powers of 1024)', _size_bytes)
TEXT = Kind("text", "a non-empty string without control characters", _text)
PATH = Kind("path", "a path", _path)
ABSOLUTE_PATH = Kind("path", "an absolute path", _absolute_path)
