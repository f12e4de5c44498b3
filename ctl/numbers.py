"""Whole numbers as people write them on a command line, and ids, which are some."""

from __future__ import annotations

from ctl.errors import error_of, invalid

GREATEST = 2**53
"""What the protocol takes."""
_MOST_DIGITS = 16
"""Of more than some thousand digits Python makes no number at all."""


def number_of(option: str, text: str, least: int = 0, greatest: int = GREATEST) -> int:
    """The number that `text` stands for; raises InvalidRequest naming the option and what is legal."""
    if is_number(text) and len(text) <= _MOST_DIGITS and least <= int(text) <= greatest:
        return int(text)
    legal = f"from {least} on" if greatest == GREATEST else f"from {least} to {greatest}"
    raise invalid(f"{option}: {text!r} is not a whole number {legal}")


def maybe_number_of(option: str, text: str | None, least: int = 0) -> int | None:
    """The same; None if nothing was said."""
    return None if text is None else number_of(option, text, least)


def job_number_of(word: str) -> int:
    """The id of digits; raises NotFound where no job can have it."""
    if len(word) > _MOST_DIGITS or int(word) > GREATEST:
        raise error_of("not_found", f"there is no job {word}")
    return int(word)


def is_number(text: str) -> bool:
    """Whether it is digits and nothing else."""
    return text.isascii() and text.isdecimal()
