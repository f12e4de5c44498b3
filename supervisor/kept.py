"""What is kept on the disk for jobs, as one who cleans up sees it: what there is, how large, and how it goes.

```
spool/<sha256>          content            spool/<sha256>.part     content that is being put
outputs/<job>/          what a job wrote   …/<name>.<n>.gone       set aside, to be removed
```
Invariant: what is to go is set aside first, in one step and under a name that nobody looks for; only then is it
removed, which may take long. What a crash leaves in between is recognised by its name.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
from collections.abc import Iterator
from typing import Final, NamedTuple

from supervisor.paths import Paths

GONE: Final = ".gone"
_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_DRAFT: Final = re.compile(r"[0-9a-f]{64}\.part", re.ASCII)
_numbers: Final = itertools.count(1)


class SpoolFile(NamedTuple):
    """A file of the spool: whole content under its sha256, or (`draft`) content that is being put."""

    name: str
    changed_s: float
    draft: bool


def spool_files(paths: Paths) -> Iterator[SpoolFile]:
    """What lies in the spool, in no order."""
    with os.scandir(paths.spool) as entries:
        for entry in entries:
            draft = _DRAFT.fullmatch(entry.name) is not None
            if draft or _SHA256.fullmatch(entry.name):
                with contextlib.suppress(FileNotFoundError):
                    yield SpoolFile(entry.name, entry.stat(follow_symlinks=False).st_mtime, draft)


def spool_file(paths: Paths, name: str) -> SpoolFile | None:
    """One of them, None if it is not there."""
    try:
        changed_s = os.lstat(os.path.join(paths.spool, name)).st_mtime
    except FileNotFoundError:
        return None
    return SpoolFile(name, changed_s, name.endswith(".part"))


def jobs_with_outputs(paths: Paths) -> Iterator[int]:
    """The jobs that have a folder of outputs, in no order."""
    with os.scandir(paths.outputs) as entries:
        for entry in entries:
            if entry.name.isascii() and entry.name.isdecimal():
                yield int(entry.name)


def outputs_bytes(paths: Paths, job: int) -> int | None:
    """What a job's outputs and artifacts take on the disk, None if it has no folder."""
    return _bytes_below(outputs_folder(paths, job))


def outputs_folder(paths: Paths, job: int) -> str:
    """Where a job's outputs and artifacts lie."""
    return os.path.join(paths.outputs, str(job))


def set_outputs_aside(paths: Paths, job: int) -> str | None:
    """Takes a job's outputs out of everybody's sight; returns where they are now, None if there were none."""
    return _set_aside(outputs_folder(paths, job))


def set_content_aside(paths: Paths, name: str) -> str | None:
    """The same with a file of the spool."""
    return _set_aside(os.path.join(paths.spool, name))


def left_aside(paths: Paths) -> list[str]:
    """What was set aside and not removed: a crash came in between."""
    return [
        os.path.join(folder, name)
        for folder in (paths.spool, paths.outputs)
        for name in os.listdir(folder)
        if name.endswith(GONE)
    ]


def discard(path: str) -> None:
    """Removes what was set aside."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        shutil.rmtree(path, ignore_errors=True)


def _set_aside(path: str) -> str | None:
    aside = f"{path}.{os.getpid()}-{next(_numbers)}{GONE}"
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return None
    return aside


def _bytes_below(folder: str) -> int | None:
    total = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    total += _bytes_below(entry.path) or 0
                else:
                    with contextlib.suppress(FileNotFoundError):
                        seen = entry.stat(follow_symlinks=False)
                        # Some file systems say 0 blocks of a file that they have not placed yet.
                        total += max(seen.st_size, seen.st_blocks * 512)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return total
