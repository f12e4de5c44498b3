"""What an arbiter leaves to the one that it becomes: its children, and how far everything had come. Values only.

The successor is the same process after an exec: pid, children, descriptors, locks and the monotonic clock stay, memory
does not. The table lies in a sealed memfd whose number is passed in the environment. Every descriptor that is named in
it is inheritable for the moment of the exec and no longer; an exec that fails leaves everything as it was.
"""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Final, NoReturn

import msgspec

from supervisor.child import MARK_VARIABLE
from supervisor.config import Pool, Settings
from supervisor.core.errors import SettingsError
from supervisor.core.fleet import Deaths
from supervisor.wire.tree import Exited, SlotState

HANDOVER_VARIABLE: Final = "WORKER_SUPERVISOR_HANDOVER"
FORMAT: Final = 1
"""Raised when a successor that knows only the present number would misunderstand. Fields are otherwise only added."""
_SEALS: Final = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class LeftChild(msgspec.Struct, frozen=True):
    """A child that is not reaped yet."""

    pid: int
    pidfd: int


class LeftSlot(msgspec.Struct, frozen=True, kw_only=True):
    """One worker slot, in the words of `slot.py`. Moments are monotonic seconds."""

    pool: str
    number: int
    index: int
    state: SlotState
    incarnation: str | None = None
    exiting: Exited | None = None
    child: LeftChild | None = None
    note: str = ""
    last_exit: str = ""
    starts: int = 0
    started_at_s: float = 0.0
    lived_s: float = 0.0
    start_at_s: float | None = None
    deaths: Deaths = Deaths()
    leaving: bool = False
    surplus: bool = False
    stuck: bool = False
    verdict: str = ""
    renewal: str = ""
    renewing: bool = False


class LeftFleet(msgspec.Struct, frozen=True, kw_only=True):
    """The worker slots, and their pools (some may be gone from the settings). `born`: incarnations given so far."""

    slots: tuple[LeftSlot, ...]
    pools: dict[str, Pool] = {}
    unacked: tuple[Exited, ...] = ()
    born: int = 0
    held: bool = False
    notes: dict[str, str] = {}


class LeftLink(msgspec.Struct, frozen=True, kw_only=True):
    """The channel to the broker, what is half sent and what is half read."""

    channel: int
    unsent: bytes = b""
    unread: bytes = b""


class LeftBroker(msgspec.Struct, frozen=True, kw_only=True):
    """The broker."""

    child: LeftChild
    link: LeftLink
    started_at_s: float
    ready_at_s: float | None = None
    failed_starts: int = 0
    verdict: str = ""


class LeftGateway(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway, and the sockets that HTTP is served on; `path` and `identity` are those of the one with a file."""

    child: LeftChild | None = None
    tcp: int
    unix: int
    path: str
    identity: tuple[int, int]
    starts: int = 0


class LeftOrphans(msgspec.Struct, frozen=True, kw_only=True):
    """Which children are strangers, and since when the others that resist have been seen."""

    strangers: tuple[int, ...] = ()
    foreign_sessions: tuple[int, ...] = ()
    may_appear: bool = False
    seen_at_s: dict[int, float] = {}


class Handover(msgspec.Struct, frozen=True, kw_only=True):
    """Everything. `settings` are those of this moment, a `Settings`; `request` is that of the upgrade that is to be
    answered.
    """

    format: int
    version: str
    pid: int
    supervisor: str
    started_at: float
    upgrades: int
    said_ready: bool
    settings: msgspec.Raw
    socket_identity: tuple[int, int]
    lock: int
    listener: int
    scoreboard: int
    fleet: LeftFleet
    broker: LeftBroker | None = None
    gateway: LeftGateway | None = None
    orphans: LeftOrphans = LeftOrphans()
    request: int | None = None

    def fds(self) -> list[int]:
        """Every descriptor that must live through the exec."""
        children = [slot.child for slot in self.fleet.slots]
        fds = [self.lock, self.listener, self.scoreboard, *(child.pidfd for child in children if child is not None)]
        if self.broker is not None:
            fds += [self.broker.child.pidfd, self.broker.link.channel]
        if self.gateway is not None:
            child = self.gateway.child
            fds += [self.gateway.tcp, self.gateway.unix, *([] if child is None else [child.pidfd])]
        return fds


def settings_of(handover: Handover) -> Settings:
    """The settings that the program before this one went by."""
    return msgspec.json.decode(handover.settings, type=Settings)


def write(handover: Handover) -> int:
    """A sealed memfd that holds it, close-on-exec."""
    fd = os.memfd_create("worker-supervisor: handover", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    text = memoryview(msgspec.json.encode(handover))
    while text:
        text = text[os.write(fd, text) :]
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    return fd


def read(fd: int) -> Handover:
    """What `write` wrote, in this release or in another; raises SettingsError if it cannot be understood."""
    try:
        if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
            raise ValueError("it is not sealed")
        handover = msgspec.json.decode(os.pread(fd, os.fstat(fd).st_size, 0), type=Handover)
        if handover.format != FORMAT:
            raise ValueError(f"its format is {handover.format}, this release knows {FORMAT} only")
        settings_of(handover)
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise SettingsError(
            f"what the running daemon hands over cannot be taken: {error}. "
            "Upgrade to another release, or stop the daemon and start the new one"
        ) from error
    return handover


def take(env: MutableMapping[str, str]) -> Handover | None:
    """What an earlier program of this process left to it, None for an ordinary start. To be called once, first of all.

    From here on nothing of it crosses another exec.
    """
    text = env.pop(HANDOVER_VARIABLE, None)
    if text is None:
        return None
    fd = int(text)
    handover = read(fd)
    os.close(fd)
    if handover.pid != os.getpid():
        raise SettingsError(f"{HANDOVER_VARIABLE} was meant for process {handover.pid}: unset it and start again")
    _set_inheritable(handover.fds(), False)
    return handover


def become(command: Sequence[str], env: Mapping[str, str], handover: Handover) -> NoReturn:
    """Replaces this program. Raises OSError when the kernel refuses, with everything as it was before.

    Signals stay blocked over the exec: the successor unblocks them once its handlers stand, and what came meanwhile
    is delivered then.
    """
    fd = write(handover)
    fds = [*handover.fds(), fd]
    # The mark stands for jobs in a process's own environment: a sweep must never take the daemon for one.
    left = {**{name: value for name, value in env.items() if name != MARK_VARIABLE}, HANDOVER_VARIABLE: str(fd)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        _set_inheritable(fds, True)
        os.execve(command[0], list(command), left)
    finally:
        # Only after a failure.
        _set_inheritable(fds, False)
        os.close(fd)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _set_inheritable(fds: Iterable[int], inheritable: bool) -> None:
    for fd in fds:
        os.set_inheritable(fd, inheritable)
