"""Whether an interpreter behaves behind a gate as it does without: small scripts, run both ways, compared by the byte.

Each step blocks for as long as one script takes, twice. It is done once a boot of the machine, for each interpreter and
level (`ProofMemory`); until then, and after a difference, jobs of that interpreter are started in the ordinary way.
"""

from __future__ import annotations

import os
import select
import tempfile
import time
from typing import IO, Final

from supervisor.core.job import JobSpec
from supervisor.core.limits import Limits
from supervisor.runtime import gate
from supervisor.runtime.plan import Plan, plan_script
from supervisor.runtime.probes import PROBES, Probe
from supervisor.sandbox import (
    Ended,
    Event,
    KeeperLost,
    Launch,
    LaunchFailed,
    NotBegun,
    Prepared,
    SandboxError,
    Slot,
    SlotClass,
    Waiting,
)
from supervisor.spool import Spool
from supervisor.worker.channel import Channel
from supervisor.worker.equipment import Equipment
from supervisor.worker.planning import facts_of_nobody, place_in
from supervisor.worker.spare import start_plan
from supervisor.worker.workspace import WORK, Workspace

PATIENCE_S: Final = 8.0
_LIMITS: Final = Limits(processes=64, open_files=512)
_SHOWN: Final = 60
NOT_BEGUN: Final = "it ended before it took the job"

Behaviour = tuple[str, bytes, bytes]


class Comparison:
    """The scripts of one interpreter at one level. `verdict` is set at the end: "" if there was no difference.

    `undecided`: it is no difference, but something that may be otherwise another time.
    """

    def __init__(self, equipment: Equipment, job_type: str, level: str) -> None:
        self._equipment = equipment
        self._type = job_type
        self._level = level
        self._left = list(PROBES[job_type])
        self._job_dir = b"/job"
        self.undecided = False
        self.verdict: str | None = None

    def step(self) -> None:
        """Runs one script both ways."""
        probe = self._left.pop(0)
        try:
            cold, gated = self.behaviour(probe, gated=False), self.behaviour(probe, gated=True)
        except (OSError, SandboxError) as error:
            self.undecided = True
            self.verdict = f"{probe.name} could not be compared: {error}"
            return
        if gated[0] == NOT_BEGUN:
            self.verdict = f"it cannot wait at isolation {self._level}: {gated[2].decode(errors='replace').strip()}"
        elif cold != gated:
            self.verdict = f"{probe.name} differs: {_difference(cold, gated)}"
        elif not self._left:
            self.verdict = ""

    def behaviour(self, probe: Probe, *, gated: bool) -> Behaviour:
        """How it ends, and what it writes to stdout and stderr."""
        cache = self._equipment.paths.cache
        slot = self._equipment.holder(self._level).prepare(SlotClass())
        channel = Channel()
        try:
            with tempfile.TemporaryFile(dir=cache) as out, tempfile.TemporaryFile(dir=cache) as err:
                how = self._run(slot, probe, (out, err, channel), gated=gated)
                return how, self._content(out), self._content(err)
        finally:
            slot.close()
            channel.close()

    def _run(self, slot: Slot, probe: Probe, ends: tuple[IO[bytes], IO[bytes], Channel], *, gated: bool) -> str:
        """How it ended."""
        plan: Plan | None = None
        poll = select.poll()
        poll.register(slot, select.POLLIN)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            poll.poll(100)
            for event in slot.receive():
                match event:
                    case Prepared():
                        plan = self._start(slot, event, probe, ends, gated=gated)
                    case Waiting():
                        assert plan is not None
                        self._open(slot, plan)
                    case Ended() | LaunchFailed() | KeeperLost() | NotBegun():
                        return _how(event)
        raise TimeoutError(f"it did not end within {PATIENCE_S:.0f} s")

    def _start(
        self, slot: Slot, prepared: Prepared, probe: Probe, ends: tuple[IO[bytes], IO[bytes], Channel], *, gated: bool
    ) -> Plan:
        equipment, place = self._equipment, place_in(prepared.job_dir)
        workspace = Workspace(prepared.work_fd, equipment.slot_uid, Spool(equipment.paths))
        workspace.make_folders()
        self._job_dir = prepared.job_dir.encode()
        for name, text in probe.files.items():
            workspace.write(WORK, name, text.encode())
        interpreter = equipment.interpreter(self._type)
        spec = JobSpec(main=probe.main, args=probe.args, env=probe.env, limits=_LIMITS)
        facts = facts_of_nobody(equipment, self._type)
        plan = plan_script(spec, facts, place, interpreter, b"")
        first = plan
        if gated:
            _base, first = start_plan(equipment, self._type, self._level, _LIMITS.memory_bytes, prepared.job_dir)
        out, err, channel = ends
        with open(os.devnull, "rb") as null:
            slot.start(
                Launch(
                    list(first.argv),
                    first.env,
                    null.fileno(),
                    out.fileno(),
                    err.fileno(),
                    cwd=place.job_dir,
                    rlimits=first.rlimits,
                    channel=channel.theirs.fileno(),
                    memory_bytes=_LIMITS.memory_bytes,
                    cpu_s=PATIENCE_S,
                    processes=None if gated else _LIMITS.processes,
                ),
                gated=gated,
            )
        channel.hand_over()
        return plan

    def _content(self, file: IO[bytes]) -> bytes:
        """Each run has a folder of its own, which has another name where there is no private root."""
        file.seek(0)
        return file.read().replace(self._job_dir, b"/job")

    def _open(self, slot: Slot, plan: Plan) -> None:
        content = gate.message(self._type, plan)
        assert content is not None
        slot.limit(gate.late(plan), self._equipment.slot_uid, _LIMITS.processes)
        slot.open(content, memory_bytes=_LIMITS.memory_bytes, cpu_s=PATIENCE_S, processes=_LIMITS.processes)


def _how(event: Event) -> str:
    if isinstance(event, NotBegun):
        return NOT_BEGUN
    return f"wait status {event.status}" if isinstance(event, Ended) else repr(event)


def _difference(cold: Behaviour, gated: Behaviour) -> str:
    if cold[0] != gated[0]:
        return f"{cold[0]} without a gate, {gated[0]} behind it"
    for name, one, other in (("stdout", cold[1], gated[1]), ("stderr", cold[2], gated[2])):
        if one != other:
            at = next(
                (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
            )
            return f"{name}, {one[at : at + _SHOWN]!r} without a gate, {other[at : at + _SHOWN]!r} behind it"
    return "nothing"
