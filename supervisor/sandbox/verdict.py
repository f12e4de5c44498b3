"""Finds out whether a level works on this machine, by really using it.

Invariant: an ok means that /bin/true ran in a slot of that level and its wait status was read.
Never: guesses from kernel versions or files in /proc/sys.
"""

from __future__ import annotations

import os
import select
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

from supervisor.sandbox.event import Ended, Event, KeeperLost, LaunchFailed, Prepared
from supervisor.sandbox.fault import SandboxError
from supervisor.sandbox.holder import Holder
from supervisor.sandbox.launch import Bind, Launch, SlotClass
from supervisor.sandbox.levels import remedy_for
from supervisor.sandbox.slot import Slot

_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Verdict:
    """ok; else reason: which step failed and why, and remedy: what enables it, "" if unknown."""

    ok: bool
    reason: str = ""
    remedy: str = ""


def probe(
    level: str,
    *,
    slot_uid: int | None = None,
    work_root: str | None = None,
    binds: Sequence[Bind] = (),
    slot_class: SlotClass | None = None,
    argv: Sequence[str] = ("/bin/true",),
) -> Verdict:
    """Prepares a slot and runs argv (which must exit 0) in it. Blocks, at most about 15 s."""
    with tempfile.TemporaryDirectory(prefix="sandbox-probe-") as own_root:
        os.chmod(own_root, 0o711)  # noqa: S103 - the slot uid must pass
        try:
            holder = Holder.start(level, work_root=work_root or own_root, name="probe", slot_uid=slot_uid, binds=binds)
        except SandboxError as error:
            return _refusal(level, error)
        try:
            slot = holder.prepare(slot_class or SlotClass())
            try:
                last = _run(slot, list(argv))
            finally:
                slot.close()
        except SandboxError as error:
            return _refusal(level, error)
        finally:
            holder.close()
    return _judge(level, last, argv[0])


def _run(slot: Slot, argv: list[str]) -> Event | None:
    deadline_s = time.monotonic() + _TIMEOUT_S
    poll = select.poll()
    poll.register(slot, select.POLLIN)
    with open("/dev/null", "r+b", buffering=0) as null:
        while time.monotonic() < deadline_s:
            poll.poll(100)
            for event in slot.receive():
                if isinstance(event, Prepared):
                    fd = null.fileno()
                    slot.start(Launch([*argv], {"PATH": "/usr/bin:/bin"}, fd, fd, fd))
                elif isinstance(event, Ended | LaunchFailed | KeeperLost):
                    return event
    return None


def _judge(level: str, last: Event | None, program: str) -> Verdict:
    if isinstance(last, LaunchFailed):
        return _refusal(level, SandboxError(last.step, last.errno, last.message))
    if isinstance(last, KeeperLost):
        return Verdict(False, last.reason)
    if not isinstance(last, Ended):
        return Verdict(False, f"{program} did not end within {_TIMEOUT_S:.0f} s")
    if last.status != 0:
        return Verdict(False, f"{program} ended with wait status {last.status}")
    return Verdict(True)


def _refusal(level: str, error: SandboxError) -> Verdict:
    return Verdict(False, str(error), remedy_for(level, error.step))
