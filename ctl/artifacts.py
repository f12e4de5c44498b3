"""Artifacts brought here: read piece by piece, and written below a folder that nothing leads out of.

Invariant: each part of a name is opened by itself and never through a symbolic link; a file is always made anew.
Never: trusts a name, which a job chose; replaces a file unless that was asked for.
"""

from __future__ import annotations

import os
from base64 import b64decode
from contextlib import contextmanager

from ctl.errors import NotFound, invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    Ask = Callable[[str, dict[str, Any]], Any]

PIECE_BYTES = 512 << 10
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Artifact:
    """One file that an attempt left: its bytes come when they are asked for.

    `raw_name` is its name in bytes, as the job chose it; `name` is for people, `index` its number.
    """

    def __init__(self, ask: Ask, raw: dict[str, Any], job: int, attempt: int) -> None:
        self._ask = ask
        self.raw = raw
        self.job = job
        self.attempt = attempt
        self.index: int = raw["index"]
        self.name: str = raw["name"]
        self.size: int = raw["size"]
        self.mode: int = raw["mode"]
        self.raw_name: bytes = b64decode(raw["name_base64"]) if "name_base64" in raw else self.name.encode()

    def __repr__(self) -> str:
        return f"<Artifact {self.raw!r}>"

    def pieces(self) -> Iterator[bytes]:
        """Its bytes, piece by piece."""
        fields = {"job": self.job, "attempt": self.attempt, "index": self.index, "length": PIECE_BYTES}
        offset = 0
        while True:
            answer = self._ask("artifact", {**fields, "offset": offset})
            data = b64decode(answer["data"])
            yield data
            offset += len(data)
            if answer["eof"] or not data:
                return


class Artifacts(list[Artifact]):
    """The artifacts of `attempt` (None: there was none yet); `ended` says whether that attempt is over, `removed`
    whether retention has taken what it left."""

    attempt: int | None = None
    ended: bool = False
    removed: bool = False


def list_artifacts(ask: Ask, job: int, attempt: int | None) -> Artifacts:
    """All artifacts of the attempt (the last one's unless told otherwise)."""
    found = Artifacts()
    after: int | None = 0
    while after is not None:
        fields: dict[str, Any] = {"job": job, "after": after}
        if attempt is not None:
            fields["attempt"] = attempt
        answer = ask("artifacts", fields)
        attempt = found.attempt = answer["attempt"]
        found.ended, found.removed = answer["ended"], answer.get("removed", False)
        if attempt is not None:
            found += [Artifact(ask, one, job, attempt) for one in answer["artifacts"]]
        after = answer["next"]
    return found


def named(artifacts: Artifacts, job: int, name: str | bytes) -> Artifact:
    """The artifact of that name, as bytes, as text, or as it is shown; raises NotFound."""
    raw = os.fsencode(name)
    found = [one for one in artifacts if one.raw_name == raw] or [one for one in artifacts if one.name == name]
    if found:
        return found[0]
    which = "no attempt" if artifacts.attempt is None else f"attempt {artifacts.attempt}"
    raise NotFound(
        "not_found", f"{which} of job {job} left no {name!r}: `workerctl artifacts {job}` lists what it left"
    )


def save(artifacts: Sequence[Artifact], folder: str, *, force: bool) -> list[str]:
    """Writes the artifacts below `folder`, which is made if it is not there; returns their paths.

    Raises InvalidRequest before anything is written if a file is there already, unless `force`; and wherever a name
    would lead through a symbolic link or out of the folder.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        root = os.open(folder, _FOLDER)
    except OSError as error:
        raise invalid(f"{folder}: {error.strerror}") from None
    try:
        parts = [_parts(artifact) for artifact in artifacts]
        if not force:
            _refuse_existing(root, folder, parts)
        for artifact, (*folders, name) in zip(artifacts, parts, strict=True):
            with _inner_folder(root, folder, folders) as inner:
                save_file(artifact.pieces(), name, artifact.mode, force=force, dir_fd=inner)
    finally:
        os.close(root)
    return [os.path.join(folder, os.fsdecode(artifact.raw_name)) for artifact in artifacts]


def save_file(
    content: Iterator[bytes], path: str | bytes, mode: int, *, force: bool, dir_fd: int | None = None
) -> None:
    """Makes a new file of `content`; an existing one, or a link of that name, is replaced with `force` alone."""
    first = next(content, b"")  # before anything is touched here: the daemon may refuse
    try:
        if force:
            _remove_file(path, dir_fd)
        descriptor = os.open(path, _NEW_FILE, mode & 0o777 | 0o600, dir_fd=dir_fd)
    except FileExistsError:
        raise _exists(os.fsdecode(path)) from None
    except OSError as error:
        raise invalid(f"{os.fsdecode(path)}: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(first)
        for piece in content:
            file.write(piece)


def _remove_file(path: str | bytes, dir_fd: int | None) -> None:
    try:
        os.unlink(path, dir_fd=dir_fd)
    except FileNotFoundError:
        pass


def _parts(artifact: Artifact) -> list[bytes]:
    parts = artifact.raw_name.split(b"/")
    if any(part in (b"", b".", b"..") or b"\0" in part for part in parts):
        raise invalid(f"artifact {artifact.index} has a name that leads elsewhere: {artifact.raw_name!r}")
    return parts


def _refuse_existing(root: int, folder: str, names: Sequence[list[bytes]]) -> None:
    for parts in names:
        path = b"/".join(parts)
        try:
            os.stat(path, dir_fd=root, follow_symlinks=False)
        except OSError:
            continue
        raise _exists(os.path.join(folder, os.fsdecode(path)))


def _exists(path: str) -> Exception:
    return invalid(f"{path} is there already: --force replaces it")


@contextmanager
def _inner_folder(root: int, folder: str, parts: Sequence[bytes]) -> Iterator[int]:
    """An fd of the folder `parts` below `root`; what is missing is made, and no link is passed."""
    descriptor = os.dup(root)
    try:
        for number, part in enumerate(parts, 1):
            try:
                os.mkdir(part, 0o777, dir_fd=descriptor)
            except FileExistsError:
                pass
            try:
                inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
            except OSError:
                path = os.path.join(folder, os.fsdecode(b"/".join(parts[:number])))
                raise invalid(f"{path} is no folder, or a symbolic link: nothing is written through it") from None
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)
