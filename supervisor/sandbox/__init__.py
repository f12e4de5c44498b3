"""The sandbox library: starts a job under limits, watches it, ends it, and proves that nothing of it is left.

    holder = Holder.start("namespace", work_root="/var/lib/x/work", name="1", slot_uid=70001)
    slot = holder.prepare(SlotClass())        # … Prepared
    slot.start(Launch(["/bin/true"], {}, 0, 1, 2))   # … Started, Ended
    slot.close(); holder.close()

Invariant: imports nothing of the daemon; stands alone (`python -m supervisor.sandbox run file.js`).
Never: loads the worker's side of it into the slim processes, which is why the names below are looked up late.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervisor.sandbox.delegation import delegated_cgroup
    from supervisor.sandbox.event import (
        Ended,
        Event,
        Gated,
        KeeperLost,
        LaunchFailed,
        NotBegun,
        Prepared,
        Started,
        Use,
        Waiting,
    )
    from supervisor.sandbox.fault import SandboxError
    from supervisor.sandbox.holder import Holder, known_children
    from supervisor.sandbox.launch import Bind, Launch, SlotClass
    from supervisor.sandbox.levels import LEVELS, moves_binds
    from supervisor.sandbox.orphan import OrphanSweep, kill_orphans
    from supervisor.sandbox.slot import Slot
    from supervisor.sandbox.syscalls import become_subreaper
    from supervisor.sandbox.verdict import Verdict, probe, probe_levels, prove

_HOME = {
    "Bind": "launch", "Ended": "event", "Event": "event", "Gated": "event", "Holder": "holder", "KeeperLost": "event",
    "LEVELS": "levels", "Launch": "launch", "LaunchFailed": "event", "NotBegun": "event", "OrphanSweep": "orphan",
    "Prepared": "event", "SandboxError": "fault", "Slot": "slot", "SlotClass": "launch", "Started": "event",
    "Use": "event", "Verdict": "verdict", "Waiting": "event", "become_subreaper": "syscalls", "kill_orphans": "orphan",
    "delegated_cgroup": "delegation", "moves_binds": "levels", "known_children": "holder", "probe": "verdict", "prove": "verdict", "probe_levels": "verdict",
}  # fmt: skip

__all__ = [
    "LEVELS",
    "Bind",
    "Ended",
    "Event",
    "Gated",
    "Holder",
    "KeeperLost",
    "Launch",
    "LaunchFailed",
    "NotBegun",
    "OrphanSweep",
    "Prepared",
    "SandboxError",
    "Slot",
    "SlotClass",
    "Started",
    "Use",
    "Verdict",
    "Waiting",
    "become_subreaper",
    "delegated_cgroup",
    "kill_orphans",
    "known_children",
    "moves_binds",
    "probe",
    "probe_levels",
    "prove",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = found
    return found
