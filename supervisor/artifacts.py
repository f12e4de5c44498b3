"""Where the artifacts of an attempt lie: numbered files and one manifest, below its job's outputs folder.

```
outputs/<job>/<attempt>.artifacts/1 … N, manifest.json
```
Invariant: the manifest is written last and names only files that are whole; without it there are no artifacts.
Never: makes a path of a name that a job chose; such names stand in the manifest and nowhere else.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Sequence
from typing import Final

import msgspec

from supervisor.paths import Paths

MANIFEST: Final = "manifest.json"
FILE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class Kept(msgspec.Struct, frozen=True):
    """One artifact: its path below the output folder as the job chose it (any bytes), its size, its permissions."""

    name: bytes
    size: int
    mode: int


_decode: Final = msgspec.json.Decoder(tuple[Kept, ...]).decode


def artifact_folder(paths: Paths, job: int, attempt: int) -> str:
    """The folder of an attempt's artifacts."""
    return os.path.join(paths.outputs, str(job), f"{attempt}.artifacts")


def make_folder(paths: Paths, job: int, attempt: int) -> int:
    """An fd of the empty folder; what a worker that died had begun to put there is gone."""
    folder = artifact_folder(paths, job, attempt)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
    os.makedirs(folder, mode=0o700)
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def drop_folder(paths: Paths, job: int, attempt: int) -> None:
    """Removes the folder."""
    shutil.rmtree(artifact_folder(paths, job, attempt), ignore_errors=True)


def write_manifest(folder_fd: int, kept: Sequence[Kept]) -> None:
    """Lists `kept`, the first as number 1, durably: the files must be so already. Raises OSError."""
    descriptor = os.open(MANIFEST, FILE_FLAGS, 0o600, dir_fd=folder_fd)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(kept))
        file.flush()
        os.fsync(file.fileno())
    os.fsync(folder_fd)


def read_manifest(paths: Paths, job: int, attempt: int) -> tuple[Kept, ...]:
    """The artifacts of an attempt, the first as number 1; none if it left none, or its worker died over them."""
    descriptor = _open(os.path.join(artifact_folder(paths, job, attempt), MANIFEST))
    if descriptor is None:
        return ()
    with os.fdopen(descriptor, "rb") as file:
        try:
            return _decode(file.read())
        except msgspec.DecodeError:
            return ()  # cut by a power loss before the attempt had its outcome


def open_artifact(paths: Paths, job: int, attempt: int, index: int) -> int | None:
    """A reading fd of artifact number `index`, None if there is none."""
    return _open(os.path.join(artifact_folder(paths, job, attempt), str(index)))


def _open(path: str) -> int | None:
    try:
        descriptor = os.open(path, _READ_FLAGS)
    except FileNotFoundError:
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None
