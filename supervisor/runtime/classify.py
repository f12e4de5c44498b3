"""Which runtime a script is for: what was asked, else its extension, else its `#!` line. Pure."""

from __future__ import annotations

import os.path
import re
from typing import Final

EXTENSIONS: Final[dict[str, str]] = {
    ".js": "node",
    ".mjs": "node",
    ".cjs": "node",
    ".ts": "node",
    ".mts": "node",
    ".cts": "node",
    ".py": "python",
    ".sh": "shell",
    ".bash": "shell",
}
SCRIPT_TYPES: Final = frozenset({"node", "python", "shell", "exec"})
TYPESCRIPT: Final = frozenset({".ts", ".mts", ".cts"})
STRIPS_TYPES_FROM: Final = (22, 18)
"""Node runs TypeScript without a flag from this version on."""

_SHEBANG: Final = re.compile(rb"#!\s*(\S+)(?:[ \t]+([^\r\n]*\S))?")


def script_type(name: str, head: bytes) -> str | None:
    """The runtime of a script called `name` that begins with `head`; None when nothing tells."""
    extension = os.path.splitext(name)[1].lower()
    if extension in EXTENSIONS:
        return EXTENSIONS[extension]
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
