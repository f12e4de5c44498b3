"""A minimal /etc for the private root.

Invariant: names resolve inside (localhost, the job's user) without any file of the host that tells about it.
Never: shows the host's passwd, shadow, hostname or network files, but resolv.conf and hosts to networked jobs.
"""

from __future__ import annotations

import os

from supervisor.sandbox import syscalls
from supervisor.sandbox.site import Site

_FROM_HOST = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "ssl", "pki", "ca-certificates",
              "crypto-policies", "localtime", "mime.types")  # fmt: skip
_NETWORK_FILES = ("hosts", "resolv.conf")
_HOST_FILES = "/.host-etc"


def build(site: Site, root: str) -> None:
    """Fills root/etc. The holder still sees the host's /etc."""
    for name in _FROM_HOST:
        _show(f"/etc/{name}", f"{root}/etc/{name}")
    own = {
        "hosts": "127.0.0.1 localhost job\n::1 localhost\n",
        "resolv.conf": "",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
        "passwd": f"root:x:0:0::/:/usr/sbin/nologin\njob:x:{site.uid}:{site.gid}::/job:/bin/sh\n",
        "group": f"root:x:0:\njob:x:{site.gid}:\n",
    }
    for name, content in own.items():
        _write(f"{root}/etc/{name}", content.encode())
    os.mkdir(root + _HOST_FILES, 0o755)
    for name in _NETWORK_FILES:
        _write(f"{root}{_HOST_FILES}/{name}", _content(f"/etc/{name}"))


def use_host_network_files() -> None:
    """Lays the host's resolv.conf and hosts, as they were when the holder started, over the private ones."""
    for name in _NETWORK_FILES:
        syscalls.mount(f"{_HOST_FILES}/{name}", f"/etc/{name}", None, syscalls.MS_BIND)


def _show(source: str, target: str) -> None:
    if os.path.isdir(source):
        os.mkdir(target, 0o755)
    elif os.path.exists(source):
        _write(target, b"")
    else:
        return
    syscalls.mount(source, target, None, syscalls.MS_BIND | syscalls.MS_REC)
    syscalls.harden_mount(target, writable=False)


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _write(path: str, content: bytes) -> None:
    with open(path, "wb") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(content)
