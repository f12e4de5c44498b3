"""A folder as a tar archive: the same files give the same bytes, whoever packs them and whenever.

Regular files, folders and symbolic links, sorted; owner, time and group are nobody's. `.git` is left out, nothing
else is. Hard links become files of their own. Links are stored, never followed.
"""

from __future__ import annotations

import os
import stat
import tarfile
import tempfile

from ctl.blob import Blob, unreadable
from ctl.errors import invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

LEFT_OUT = frozenset({".git"})


def pack(folder: str) -> tuple[Blob, list[str]]:
    """The archive of what `folder` holds, and the paths that could not be packed (sockets, pipes, devices).

    Raises InvalidRequest where a file cannot be read, or changes while it is read.
    """
    skipped: list[str] = []
    archive: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115  the blob closes it
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for relative in _walk(folder, ""):
            try:
                if not _add(tar, folder, relative):
                    skipped.append(relative)
            except OSError as error:
                archive.close()
                raise unreadable(os.path.join(folder, relative), error) from None
    return Blob(archive), skipped


def _walk(folder: str, below: str) -> Iterator[str]:
    """Relative paths in a fixed order, each folder before its content."""
    path = os.path.join(folder, below)
    try:
        names = sorted(os.listdir(path))
    except OSError as error:
        raise unreadable(path, error) from None
    for name in names:
        if name in LEFT_OUT:
            continue
        relative = os.path.join(below, name)
        yield relative
        full = os.path.join(folder, relative)
        if os.path.isdir(full) and not os.path.islink(full):
            yield from _walk(folder, relative)


def _add(tar: tarfile.TarFile, folder: str, relative: str) -> bool:
    path = os.path.join(folder, relative)
    seen = os.lstat(path)
    entry = tarfile.TarInfo(relative)
    entry.mode = 0o755 if seen.st_mode & stat.S_IXUSR else 0o644
    if stat.S_ISDIR(seen.st_mode):
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(entry)
    elif stat.S_ISLNK(seen.st_mode):
        entry.type, entry.mode = tarfile.SYMTYPE, 0o777
        entry.linkname = os.readlink(path)
        tar.addfile(entry)
    elif stat.S_ISREG(seen.st_mode):
        with open(path, "rb") as file:
            entry.size = os.fstat(file.fileno()).st_size
            try:
                tar.addfile(entry, file)
            except OSError as error:
                if error.errno is None:
                    raise invalid(f"{path} changed while it was packed; submit again") from None
                raise
    else:
        return False
    return True
