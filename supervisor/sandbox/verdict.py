"""Finds out whether a level works on this machine, by really using it.

Invariant: an ok means that every program given ran in a slot of that level, and its wait status was read as 0.
Never: guesses from kernel versions or files in /proc/sys.
"""

from __future__ import annotations

import os
import select
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from supervisor.sandbox.event import Ended, Event, KeeperLost, LaunchFailed, Prepared
from supervisor.sandbox.fault import SandboxError
from supervisor.sandbox.holder import Holder
from supervisor.sandbox.launch import Bind, Launch, SlotClass
from supervisor.sandbox.levels import LEVELS
from supervisor.sandbox.remedy import remedy_for
from supervisor.sandbox.slot import Slot

_TIMEOUT_S = 10.0
_TRUE = ("/bin/true",)


@dataclass(frozen=True)
class Verdict:
    """ok, and what is enforced, by aspect; else reason: a sentence, and remedy: the command that enables it, "" if
    none is known. step and errno: what the kernel refused, "" and 0 if it did not come to that."""

    ok: bool
    reason: str = ""
    remedy: str = ""
    step: str = ""
    errno: int = 0
    enforced: dict[str, str] = field(default_factory=dict)


def probe_levels(
    *,
    slot_uid: int | None = None,
    work_root: str | None = None,
    binds: Sequence[Bind] = (),
    slot_class: SlotClass | None = None,
    programs: Sequence[Sequence[str]] = (_TRUE,),
    cgroup: str | None = None,
    until_ok: bool = False,
) -> dict[str, Verdict]:
    """Tries the levels, best first, each with every program. until_ok: stops at the first level that works.

    Blocks for about 50 ms a level and the time of the programs; at worst 25 s a level and 10 s a program more.
    """
    verdicts: dict[str, Verdict] = {}
    for level in LEVELS:
        verdicts[level] = _try(level, slot_uid, work_root, binds, slot_class, programs, cgroup)
        if until_ok and verdicts[level].ok:
            break
    return verdicts


def probe(
    level: str,
    *,
    slot_uid: int | None = None,
    work_root: str | None = None,
    binds: Sequence[Bind] = (),
    slot_class: SlotClass | None = None,
    argv: Sequence[str] = _TRUE,
    cgroup: str | None = None,
) -> Verdict:
    """Prepares a slot of one level and runs argv (which must exit 0) in it."""
    return _try(level, slot_uid, work_root, binds, slot_class, (argv,), cgroup)


def _try(
    level: str,
    slot_uid: int | None,
    work_root: str | None,
    binds: Sequence[Bind],
    slot_class: SlotClass | None,
    programs: Sequence[Sequence[str]],
    cgroup: str | None,
) -> Verdict:
    with tempfile.TemporaryDirectory(prefix="sandbox-probe-") as own_root:
        os.chmod(own_root, 0o711)  # noqa: S103 - the slot uid must pass
        try:
            holder = Holder.start(
                level, work_root=work_root or own_root, name="probe", slot_uid=slot_uid, binds=binds, cgroup=cgroup
            )
        except SandboxError as error:
            return _refusal(level, error)
        try:
            return prove(holder, programs, slot_class)
        finally:
            holder.close()


def prove(holder: Holder, programs: Sequence[Sequence[str]], slot_class: SlotClass | None = None) -> Verdict:
    """Runs each program, which must exit 0, in a slot of this holder. Blocks for as long as they take."""
    try:
        for argv in programs:
            last = _run(holder, slot_class or SlotClass(), argv)
            verdict = _judge(holder.level, last, argv[0])
            if not verdict.ok:
                return verdict
    except SandboxError as error:
        return _refusal(holder.level, error)
    return Verdict(True, enforced=dict(holder.enforced))


def _run(holder: Holder, slot_class: SlotClass, argv: Sequence[str]) -> Event | None:
    slot = holder.prepare(slot_class)
    try:
        return _until_over(slot, argv)
    finally:
        slot.close()


def _until_over(slot: Slot, argv: Sequence[str]) -> Event | None:
    deadline_s = time.monotonic() + _TIMEOUT_S
    poll = select.poll()
    poll.register(slot, select.POLLIN)
    with open("/dev/null", "r+b", buffering=0) as null:
        while time.monotonic() < deadline_s:
            poll.poll(100)
            for event in slot.receive():
                if isinstance(event, Prepared):
                    fd = null.fileno()
                    place = event.job_dir
                    slot.start(Launch([*argv], {"PATH": "/usr/bin:/bin", "HOME": place, "TMPDIR": place}, fd, fd, fd))
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
    return Verdict(False, str(error), remedy_for(level, error.step, error.errno), error.step, error.errno)
