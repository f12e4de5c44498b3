"""What `ps` shows for a holder or a keeper.

Invariant: writes only into this process's own argument area, and never beyond it.
Never: fails: a title is a courtesy.
"""

from __future__ import annotations

from supervisor.sandbox import syscalls
from supervisor.sandbox.tree import read_proc

_ARG_START_FIELD, _ARG_END_FIELD = 45, 46  # of proc_pid_stat(5), counted behind the name
_COMM_BYTES = 15


class Title:
    """Reads the place of the arguments once; later showings cost two system calls' worth."""

    def __init__(self) -> None:
        try:
            fields = read_proc("/proc/self/stat").rpartition(b")")[2].split()
            self._start, end = int(fields[_ARG_START_FIELD]), int(fields[_ARG_END_FIELD])
        except (OSError, IndexError, ValueError):
            self._start = end = 0
        self._room = max(0, end - self._start - 1) if self._start else 0

    def show(self, text: str) -> None:
        content = text.encode(errors="replace")
        syscalls.set_name(content.rpartition(b" ")[2][:_COMM_BYTES])
        if self._room:
            syscalls.overwrite(self._start, content[: self._room].ljust(self._room, b"\0"))
