"""A network namespace of its own with nothing but a working loopback.

Invariant: fresh for each job: sockets, counters and TIME_WAIT of one job are never seen by the next.
Never: connects anything to the host; a slot class with network=True simply keeps the host's namespace.
"""

from __future__ import annotations

import _socket
import fcntl
import struct

from supervisor.sandbox import syscalls
from supervisor.sandbox.site import Room, Site

_SIOCSIFFLAGS = 0x8914
_IFF_UP, _IFF_RUNNING = 0x1, 0x40
_LOOPBACK_UP = struct.pack("16sH14x", b"lo", _IFF_UP | _IFF_RUNNING)


def clone_flag(room: Room) -> int:
    return 0 if room.network else syscalls.CLONE_NEWNET


def raise_loopback(site: Site, room: Room) -> None:
    """netdevice(7): a fresh namespace has its loopback down."""
    if room.network:
        return
    probe = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC, 0)
    try:
        fcntl.ioctl(probe.fileno(), _SIOCSIFFLAGS, _LOOPBACK_UP)
    finally:
        probe.close()
