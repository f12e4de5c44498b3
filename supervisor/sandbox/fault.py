"""What can go wrong while a sandbox is set up.

Invariant: a fault names the step in words, so that a person can tell what to enable.
Never: stands for anything that a job did.
"""

from __future__ import annotations

import errno as errno_
import os


class SandboxError(Exception):
    """A sandbox could not be set up or torn down.

    step: what was being done, a mechanism's name as a rule; errno: the kernel's number, 0 if none; remedy: what
    would enable it, "" if unknown.
    """

    remedy = ""

    def __init__(self, step: str, errno: int, message: str) -> None:
        super().__init__(step, errno, message)
        self.step = step
        self.errno = errno
        self.message = message

    @property
    def lost(self) -> bool:
        """Whether a process of the sandbox died or was silent: that says nothing of what the machine can do."""
        # The socket of one that is killed breaks before its pidfd says that it has ended.
        if self.errno in (errno_.EPIPE, errno_.ECONNRESET):
            return True
        return self.step in ("keeper", "holder") and self.errno in (0, errno_.ETIMEDOUT)

    def __str__(self) -> str:
        return f"{self.step}: {self.message}"

    @classmethod
    def of(cls, step: str, error: OSError) -> SandboxError:
        """The same failure with the step that it happened in."""
        number = error.errno or 0
        about = f" ({error.filename})" if error.filename else ""
        return cls(step, number, f"{os.strerror(number) if number else error}{about}")
