"""What a job is made of: the script's text, or blobs with their places in the job's folder.

A small UTF-8 file goes inside the submit (the daemon makes it executable); everything else, and every script that
has company, is `put` first. Reads files, sends nothing.
"""

from __future__ import annotations

import json
import os
import stat

from ctl.blob import Blob, blob_of_bytes, blob_of_file, blob_of_stdin, unreadable
from ctl.errors import invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

INLINE_BYTES = 256 << 10
_INLINE_JSON_BYTES = 384 << 10
"""Two texts of this size, escaped, fit into one line together with arguments and environment."""
_SMALL_BYTES = 64 << 10
"""So much text fits even if each byte of it is escaped."""
DEFAULT_MAINS = ("index.js", "main.py", "main.sh")
_NODE_ENDINGS = ("", ".js", ".cjs", ".mjs", "/index.js")
_TELLING_ENDINGS = frozenset({".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".py", ".sh", ".bash"})
_EXEC_HEADS = (b"#!", b"\x7fELF")


class Place:
    """A blob, where it goes in the job's folder, and what it is: a file, or a tar unpacked there."""

    def __init__(self, blob: Blob, path: str, mode: int = 0o644, kind: str = "file") -> None:
        self.blob = blob
        self.path = path
        self.mode = mode
        self.kind = kind

    @property
    def reference(self) -> dict[str, Any]:
        """The request's reference to it."""
        return {"sha256": self.blob.sha256, "path": self.path, "mode": self.mode, "kind": self.kind}


class Script:
    """`fields` of the submit, and the `places` to put before it."""

    def __init__(self, fields: dict[str, Any], places: list[Place], warnings: list[str] | None = None) -> None:
        self.fields = fields
        self.places = places
        self.warnings = warnings or []


def read_script(path: str, main: str | None = None, files: Iterable[str] = ()) -> Script:
    """The job's content for `path`: a file, a folder, or `-` for standard input. Raises InvalidRequest."""
    files = list(files)
    if path == "-":
        return _from_stdin(main, files)
    mode = _mode(path)
    if stat.S_ISDIR(mode):
        return _from_folder(path, main, files)
    if main is not None:
        raise invalid(f"--main names the script inside a folder, but {path} is not a folder")
    name = os.path.basename(path)
    text = small_text(path) if stat.S_ISREG(mode) and not files else None
    if text is not None:
        return Script({"name": _label(name), "source": text}, [])
    return _single(blob_of_file(path), name, os.path.dirname(path), files, executable=_is_executable(mode))


def from_text(source: str, name: str, files: Iterable[str] = ()) -> Script:
    """The job's content for a script that is already in memory; `files` are relative to the current folder."""
    files = list(files)
    data = source.encode()
    if not files and len(data) <= _SMALL_BYTES:
        return Script({"name": _label(name), "source": source}, [])
    return _single(blob_of_bytes(data), name, "", files, executable=False)


def small_text(path: str) -> str | None:
    """The text of a file that is so small that it surely goes inside a request; None for every other one."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.read(file, _SMALL_BYTES + 1)
            while len(data) <= _SMALL_BYTES and (more := os.read(file, _SMALL_BYTES)):
                data += more
        finally:
            os.close(file)
    except OSError as error:
        raise unreadable(path, error) from None
    if len(data) > _SMALL_BYTES:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def inline_text(blob: Blob) -> str | None:
    """The blob as text if it may go inside a request, else None."""
    if blob.size > INLINE_BYTES:
        return None
    try:
        text = blob.read().decode()
    except UnicodeDecodeError:
        return None
    return text if len(json.dumps(text, ensure_ascii=False).encode()) <= _INLINE_JSON_BYTES else None


def _from_stdin(main: str | None, files: list[str]) -> Script:
    if main is not None:
        raise invalid("--main names the script inside a folder, but the script is read from standard input")
    blob = blob_of_stdin()
    shebang = blob.read(0, 2) == b"#!"
    script = _single(blob, "stdin", "", files, executable=True)
    if not shebang:
        script.fields["type"] = "node"
    return script


def _single(blob: Blob, name: str, folder: str, files: list[str], executable: bool) -> Script:
    text = None if files else inline_text(blob)
    label = _label(name)
    if text is not None:
        blob.close()
        return Script({"name": label, "source": text}, [])
    places = [Place(blob, label, 0o755 if executable else 0o644)]
    warnings: list[str] = []
    for path in files:
        places.append(_beside(path, folder, warnings))
    taken: set[str] = set()
    for place in places:
        if place.path in taken:
            raise invalid(f"{place.path} is given twice")
        taken.add(place.path)
    return Script({"name": label, "main": label, **_type_by_head(name, blob.read(0, 4))}, places, warnings)


def _type_by_head(name: str, head: bytes) -> dict[str, str]:
    """The type of a script whose name does not tell it; the daemon reads no head of what was put."""
    told = os.path.splitext(name)[1].lower() in _TELLING_ENDINGS
    return {"type": "exec"} if not told and head.startswith(_EXEC_HEADS) else {}


def _beside(path: str, folder: str, warnings: list[str]) -> Place:
    """A `--file`: its place is its path relative to the script's folder."""
    home = os.path.abspath(folder or ".")
    relative = os.path.relpath(os.path.abspath(path), home)
    if relative == ".." or relative.startswith("../"):
        raise invalid(
            f"--file {path} lies outside of the script's folder {home}\n"
            "a job sees its files by their path relative to its script: copy or link it there, or submit a folder"
        )
    if os.path.isdir(path):
        blob = _packed(path, warnings)
        return Place(blob, relative, kind="tar")
    return Place(blob_of_file(path), relative, 0o755 if _is_executable(_mode(path)) else 0o644)


def _from_folder(folder: str, main: str | None, files: list[str]) -> Script:
    if files:
        raise invalid(f"--file is for single scripts; {folder} is a folder and is taken whole: put the files into it")
    name = os.path.basename(os.path.abspath(folder)) or "folder"
    chosen = _main_of(folder, main)
    warnings: list[str] = []
    by_head = _type_by_head(chosen, _head(os.path.join(folder, chosen)))
    blob = _packed(folder, warnings)
    return Script({"name": _label(name), "main": chosen, **by_head}, [Place(blob, ".", kind="tar")], warnings)


def _head(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(4)
    except OSError as error:
        raise unreadable(path, error) from None


def _packed(folder: str, warnings: list[str]) -> Blob:
    from ctl.tarball import pack

    blob, skipped = pack(folder)
    warnings.extend(f"{os.path.join(folder, path)} is neither file, folder nor link: left out" for path in skipped)
    return blob


def _main_of(folder: str, main: str | None) -> str:
    if main is not None:
        chosen = _inside(folder, main, ("",))
        if chosen is None:
            raise invalid(f"--main {main}: there is no such file in {folder}; give its path inside the folder")
        return chosen
    package = os.path.join(folder, "package.json")
    if os.path.isfile(package):
        wanted = _package_main(package)
        if wanted is not None:
            chosen = _inside(folder, wanted, _NODE_ENDINGS)
            if chosen is None:
                raise invalid(f'{package} says "main": {wanted!r}, but there is no such file; name one with --main')
            return chosen
    for name in DEFAULT_MAINS:
        if os.path.isfile(os.path.join(folder, name)):
            return name
    raise invalid(
        f'nothing says which script of {folder} to run: name it with --main, or with "main" in package.json, or '
        f"call it {', '.join(DEFAULT_MAINS[:-1])} or {DEFAULT_MAINS[-1]}"
    )


def _package_main(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            package = json.load(file)
    except (OSError, ValueError) as error:
        raise invalid(f"{path} cannot be read ({error}); cure it, or name the script with --main") from None
    main = package.get("main") if isinstance(package, dict) else None
    return main if isinstance(main, str) and main else None


def _inside(folder: str, path: str, endings: tuple[str, ...]) -> str | None:
    """`path` with one of the endings, relative to `folder`, if that is a file in it."""
    base = os.path.normpath(path)
    if os.path.isabs(base) or base == ".." or base.startswith("../"):
        return None
    for ending in endings:
        candidate = os.path.normpath(base + ending)
        if os.path.isfile(os.path.join(folder, candidate)):
            return candidate
    return None


def _label(name: str) -> str:
    """A name that can be sent and shown: at most 255 characters of UTF-8."""
    return os.fsencode(name).decode(errors="replace")[:255]


def _mode(path: str) -> int:
    """What it is and what may be done with it; 0 if there is nothing."""
    try:
        return os.stat(path).st_mode
    except (OSError, ValueError):
        return 0


def _is_executable(mode: int) -> bool:
    return stat.S_ISREG(mode) and bool(mode & stat.S_IXUSR)
