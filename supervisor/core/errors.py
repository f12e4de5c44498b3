"""The daemon's own errors. How a job ended is never one of these: that is an `Outcome`.

```
SupervisorError
├── RequestError      a client asked for something impossible; carries a code of `names.CODES`
├── SettingsError     a settings file, variable or flag is wrong (exit 2)
├── InstanceHeld      another supervisor holds the state folder (exit 3)
├── StorageError      the database failed in a way that a restart may cure (exit 75)
└── SchemaError       the database is newer, foreign or broken: left as it is (exit 78)
```
"""

from __future__ import annotations

import errno
from typing import Any, Final

EXIT_OK: Final = 0
EXIT_SETTINGS: Final = 2
EXIT_HELD: Final = 3
EXIT_STORAGE: Final = 75
EXIT_SCHEMA: Final = 78


_DISK_ERRORS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


class SupervisorError(Exception):
    """Base of the daemon's errors. `exit_status` is what a process that dies of it exits with."""

    exit_status = 1


class RequestError(SupervisorError):
    """An error answer: `code` of `names.CODES`, a sentence for people, and data for programs."""

    def __init__(self, code: str, message: str, data: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class SettingsError(SupervisorError):
    """A setting is wrong; the message names where it stands, the key, and what is legal."""

    exit_status = EXIT_SETTINGS


class InstanceHeld(SupervisorError):
    """Another supervisor holds the lock of this state folder."""

    exit_status = EXIT_HELD


class StorageError(SupervisorError):
    """Reading or writing the database failed; what was acknowledged is safe, a restart may cure it."""

    exit_status = EXIT_STORAGE


def unusable(what: str, error: OSError) -> SupervisorError:
    """The error for `what` the daemon cannot use: the disk's fault where the system says so, else the settings'."""
    sentence = f"{what}: {error.strerror}"
    if error.errno in _DISK_ERRORS:
        return StorageError(f"{sentence}; free or repair the disk, and start again")
    return SettingsError(sentence)


class SchemaError(SupervisorError):
    """The database cannot be used by this release. It is refused and left exactly as it was."""

    exit_status = EXIT_SCHEMA
