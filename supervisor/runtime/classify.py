"""Which runtime a script is for: what was asked, else its extension, else its `#!` line. Pure."""

from __future__ import annotations

import os.path
import re
from typing import Final

from supervisor.core.names import RUNTIMES

SCRIPT_TYPES: Final = frozenset(RUNTIMES)
TYPESCRIPT: Final = frozenset({".ts", ".mts", ".cts"})
STRIPS_TYPES_FROM: Final = (22, 18)
"""Node runs TypeScript without a flag from this version on."""

_TYPE_OF: Final = {ending: job_type for job_type, endings in RUNTIMES.items() for ending in endings}
_SHEBANG: Final = re.compile(rb"#!\s*(\S+)(?:[ \t]+([^\r\n]*\S))?")


def script_type(name: str, head: bytes) -> str | None:
    """The runtime of a script called `name` that begins with `head`; None when nothing tells."""
    ending = os.path.splitext(name)[1].lower()
    if ending in _TYPE_OF:
        return _TYPE_OF[ending]
    return "exec" if head.startswith((b"#!", b"\x7fELF")) else None


def shebang(head: bytes) -> tuple[str, ...] | None:
    """The interpreter and its one argument from a `#!` line, None without one."""
    match = _SHEBANG.match(head.split(b"\n", 1)[0])
    if match is None:
        return None
    return tuple(part.decode("utf-8", "surrogateescape") for part in match.groups() if part)


def is_typescript(name: str) -> bool:
    """Whether `name` needs a Node that strips types."""
    return os.path.splitext(name)[1].lower() in TYPESCRIPT
