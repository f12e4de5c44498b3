"""The text of a submitted main script, wherever it lies: in the request, in the spool, in a folder's archive.

Reads a bounded part, and of an archive a bounded number of members; runs nothing and unpacks nothing.
"""

from __future__ import annotations

import asyncio
import tarfile
from typing import Final

from supervisor.core.job import Content
from supervisor.spool import Spool

MAX_MEMBERS: Final = 5000


def file_text(
    main: str, contents: tuple[Content, ...], inline: dict[str, bytes], spool: Spool, length: int
) -> str | None:
    """The first `length` bytes of the script `main` as text; None where it is no file of its own."""
    for content in contents:
        if content.kind == "file" and content.path == main:
            data = inline.get(content.sha256)
            head = spool.head(content.sha256, length) if data is None else data[:length]
            return head.decode(errors="replace")
    return None


async def archived_text(main: str, contents: tuple[Content, ...], spool: Spool, length: int) -> str | None:
    """The same of a script in one of the archives; None where it is not to be found."""
    for content in contents:
        inner = _below(main, content.path)
        if content.kind == "tar" and inner is not None:
            found = await asyncio.to_thread(_member, spool.path(content.sha256), inner, length)
            if found is not None:
                return found.decode(errors="replace")
    return None


def _below(main: str, prefix: str) -> str | None:
    if prefix == ".":
        return main
    return main.removeprefix(f"{prefix}/") if main.startswith(f"{prefix}/") else None


def _member(archive: str, name: str, length: int) -> bytes | None:
    try:
        with tarfile.open(archive, mode="r:") as tar:
            for number, member in enumerate(tar):
                if member.name.removeprefix("./") == name:
                    content = tar.extractfile(member) if member.isreg() else None
                    return None if content is None else content.read(length)
                if number >= MAX_MEMBERS:
                    break
    except (tarfile.TarError, OSError):
        pass  # the worker that unpacks it says what is wrong with it
    return None
