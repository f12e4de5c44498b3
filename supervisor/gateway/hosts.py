"""Which `Host` and `Origin` a request may carry. Pure.

A page of elsewhere can have a browser send requests here under a name of its own (DNS rebinding): a name is taken
only if it is ours. An address cannot be rebound, and is.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

LOCAL: Final = "localhost"


def is_ours(host: str, names: Collection[str]) -> bool:
    """Whether the value of a `Host` header is an address, localhost or one of `names`, with any port."""
    name = name_of(host)
    return name is not None and (name == LOCAL or name in names or _is_address(name))


def same_origin(origin: str, host: str) -> bool:
    """Whether the page that sends a request came from where it sends it to."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc) and parts.netloc.lower() == host.lower()


def name_of(host: str) -> str | None:
    """The name or address in `NAME[:PORT]`, in lower case; None if it is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or "@" in parts.netloc or not parts.hostname:
        return None
    return parts.hostname.rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True
