"""The user ids that jobs get under a root daemon: nobody else may have them.

A uid with a passwd entry is a person's or a service's; one with a running process is in use, as a rule by another
daemon with the same `slot_uid_base`. Either way a job could reach what is not its own: the start is refused.
"""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Collection, Iterable
from typing import Final

from supervisor.arbiter import proc
from supervisor.core.errors import SettingsError

_PATIENCE_S: Final = 3.0
"""What an earlier supervisor of ours left may take this long to be gone, though its lock is free already."""
_PAUSE_S: Final = 0.02


def check(base: int, count: int) -> None:
    """Raises SettingsError unless the `count` uids from `base` on are free; nothing to check for an ordinary user."""
    if os.geteuid() != 0:
        return
    uids = range(base, base + count)
    if (sentence := _owned(uids)) is not None:
        raise SettingsError(sentence)
    deadline_s = time.monotonic() + _PATIENCE_S
    while (user := _somebody(uids)) is not None:
        if time.monotonic() > deadline_s:
            raise SettingsError(f"{_used(*user)} (now {base})")
        time.sleep(_PAUSE_S)


def taken(uids: Collection[int]) -> str | None:
    """Why jobs may not have these, as of now and without waiting; None if they may."""
    user = _somebody(uids) if uids else None
    return _owned(uids) or (None if user is None else _used(*user))


def _owned(uids: Iterable[int]) -> str | None:
    for uid in uids:
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            continue
        return f"jobs may not have uid {uid}, it is that of {name!r}: choose another slot_uid_base"
    return None


def _used(pid: int, uid: int) -> str:
    return (
        f"jobs may not have uid {uid}, process {pid} runs under it, perhaps a job of another daemon: "
        "choose another slot_uid_base"
    )


def _somebody(uids: Collection[int]) -> tuple[int, int] | None:
    for pid in proc.processes():
        uid = proc.real_uid(pid)
        if uid is not None and uid in uids:
            return pid, uid
    return None
