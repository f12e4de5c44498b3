"""Which addresses a webhook may go to. Pure.

A job's own address must lie below one of those that the settings allow: whoever may submit could otherwise have the
daemon ask whatever it can reach.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

_PORTS = {"http": 80, "https": 443}


class _Address(NamedTuple):
    origin: tuple[str, str, int]
    path: str


def fault_of(url: str) -> str | None:
    """Why this is no address for a webhook, in words; None if it is one."""
    try:
        _read(url)
    except ValueError as error:
        return str(error)
    return None


def is_allowed(url: str, allowed: Collection[str]) -> bool:
    """Whether `url` has the scheme, host and port of one of `allowed`, and lies at or below its path."""
    try:
        wanted = _read(url)
    except ValueError:
        return False
    for one in allowed:
        below = _read(one)
        if wanted.origin == below.origin and _is_below(wanted.path, below.path):
            return True
    return False


def origin_of(url: str) -> str:
    """Scheme, host and port of an address; raises ValueError."""
    return "{}://{}:{}".format(*_read(url).origin)


def _is_below(path: str, folder: str) -> bool:
    # What a server may take for a way out of the folder is not below it; some leave out what follows a semicolon.
    plain = path
    while (decoded := unquote(plain)) != plain:
        plain = decoded
    if ".." in (part.partition(";")[0] for part in plain.replace("\\", "/").split("/")):
        return False
    return path == folder or path.startswith(folder if folder.endswith("/") else f"{folder}/")


def _read(url: str) -> _Address:
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("it holds characters that an address cannot have: percent-encode them")
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("it must begin with http:// or https:// and a host")
    if "@" in parts.netloc or parts.fragment:
        raise ValueError("it may have neither a user nor a fragment")
    return _Address((parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme]), parts.path or "/")
