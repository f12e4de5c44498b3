"""What the machine can be short of for a moment: processes, memory, open files.

A shortage says nothing of a job, of a setting or of a level of isolation. Whoever meets one waits and tries again.
"""

from __future__ import annotations

import errno
from typing import Final

_WORDS: Final = {
    errno.EAGAIN: "processes",
    errno.ENOMEM: "memory",
    errno.EMFILE: "open files",
    errno.ENFILE: "open files",
    errno.ETOOMANYREFS: "descriptors under way between processes",
}


class Shortage(Exception):
    """The machine is short of what the message names."""


def short_of(number: int | None) -> str | None:
    """What is short when the system answers with this errno; None if that is no shortage."""
    return None if number is None else _WORDS.get(number)
