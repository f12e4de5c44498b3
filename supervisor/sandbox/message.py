"""Messages between worker, holder and keeper: one SEQPACKET datagram of marshal data with descriptors.

Invariant: one message is one datagram; received descriptors are close-on-exec. Both ends are this library in
the same interpreter version, and a job never holds such a socket, which is why marshal may be used.
Never: blocks in `receive_now`.
"""

from __future__ import annotations

import _socket
import errno
import marshal
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Message = tuple[Any, ...]

_MAX_BYTES = 1 << 20
_SEND_BUFFER_BYTES = 1 << 20
_MAX_FDS = 8
_FD_BYTES = struct.calcsize("i")
_FD_SPACE = _socket.CMSG_SPACE(_MAX_FDS * _FD_BYTES)
_MSG_CMSG_CLOEXEC = 0x4000_0000


def pair() -> tuple[_socket.socket, _socket.socket]:
    """Two connected ends, both close-on-exec."""
    ends = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    for end in ends:
        end.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    return ends


def adopt(fd: int) -> _socket.socket:
    """The socket behind an inherited descriptor."""
    return _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, fd)


def send(end: _socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    """Sends one message. OSError: EMSGSIZE if it is too long, EPIPE or ECONNRESET if nobody is there."""
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))] if fds else []
    end.sendmsg([marshal.dumps(message)], rights, _socket.MSG_NOSIGNAL)


def receive_now(end: _socket.socket) -> tuple[Message | None, list[int]]:
    """One message and its descriptors; (None, []) at the end of the conversation.

    Raises BlockingIOError if there is none yet; OSError if this process has no descriptor left for what came with it.
    """
    try:
        content, rights = _datagram(end)
    except ConnectionResetError:
        # The other end closed with something of ours unread. The kernel says so once, before it hands out what
        # the other end had sent: the last report may still be there.
        content, rights = _datagram(end)
    fds: list[int] = []
    for data in rights:
        fds.extend(struct.unpack(f"{len(data) // _FD_BYTES}i", data[: len(data) // _FD_BYTES * _FD_BYTES]))
    return (marshal.loads(content) if content else None), fds  # noqa: S302 - our own process at the other end


def _datagram(end: _socket.socket) -> tuple[bytes, list[bytes]]:
    flags = _MSG_CMSG_CLOEXEC | _socket.MSG_DONTWAIT
    content, rights, told, _address = end.recvmsg(_MAX_BYTES, _FD_SPACE, flags)
    if told & _socket.MSG_CTRUNC:
        # The kernel drops what it finds no free descriptor for, and says only this.
        raise OSError(errno.EMFILE, "too many open files to receive another")
    return content, [data for _level, _kind, data in rights]
