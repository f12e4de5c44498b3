"""One interpreter that has booted in a prepared sandbox and waits behind its gate for a job. It is used once.

```
preparing -Prepared-> booting -Gated-> takeable -Waiting-> ready -taken | closed
```
It holds nothing of any job: when it starts, no job runs in this worker, and none starts while it waits but its own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from supervisor.core.job import JobSpec
from supervisor.core.limits import Limits
from supervisor.runtime import gate
from supervisor.runtime.plan import Plan, plan_script
from supervisor.sandbox import Event, Gated, Launch, Prepared, Slot, SlotClass, Waiting
from supervisor.spool import Spool
from supervisor.wire.lease import Lease
from supervisor.worker.channel import Channel
from supervisor.worker.equipment import Equipment
from supervisor.worker.output import Output
from supervisor.worker.planning import facts_of, facts_of_nobody, place_in
from supervisor.worker.workspace import Workspace


@dataclass(frozen=True)
class SpareClass:
    """What is decided before a job is known: a job of another class cannot use the spare."""

    type: str
    level: str
    slot_class: SlotClass
    memory_bytes: int | None


class Spare:
    """The process, and what its job will need: the folder, the output files, the channel."""

    def __init__(self, kind: SpareClass, slot: Slot, equipment: Equipment, now: float) -> None:
        self.kind = kind
        self.slot = slot
        self.channel = Channel()
        self.born_at = now
        self.ready = False
        self.dead: str | None = None
        self.output: Output | None = None
        self.job_dir = ""
        self.work_fd = -1
        self.fallbacks: dict[str, str] = {}
        self._equipment = equipment
        self._takeable = False
        self._base: Plan | None = None

    def on_slot(self) -> None:
        """Something came from the keeper."""
        try:
            for event in self.slot.receive():
                self._hear(event)
        except OSError as error:
            self.dead = self.dead or f"the machine could not give what it needs: {error}"

    def _hear(self, event: Event) -> None:
        match event:
            case Prepared():
                self._boot(event)
            case Gated():
                self._takeable = True
            case Waiting():
                self.ready = True
            case _:
                self.dead = self.dead or f"{type(event).__name__}: {event}"

    def plan_for(self, lease: Lease) -> Plan | None:
        """How this job is told through the gate; None if it must be started in the ordinary way."""
        spec = lease.spec
        if not self._takeable or self.dead is not None or self._base is None or not gate.suits(spec):
            return None
        facts, place = facts_of(self._equipment, lease), place_in(self.job_dir)
        plan = plan_script(spec, facts, place, self._equipment.interpreter(lease.type), b"")
        without_flags = plan.argv[1] == f"{place.job_dir}/{spec.main}"
        fits = without_flags and gate.fits(plan, self._base) and gate.message(lease.type, plan) is not None
        return plan if fits else None

    def close(self) -> None:
        """It was not needed, or could not be used: it is killed at once."""
        self.slot.close()
        self.channel.close()
        if self.output is not None:
            self.output.close()
            self.output.discard()

    def _boot(self, prepared: Prepared) -> None:
        """Raises OSError."""
        equipment, kind = self._equipment, self.kind
        self.job_dir, self.work_fd, self.fallbacks = prepared.job_dir, prepared.work_fd, prepared.fallbacks
        Workspace(prepared.work_fd, equipment.slot_uid, Spool(equipment.paths)).make_folders()
        self.output = Output.ahead(equipment.paths, equipment.spare_name, equipment.slot_uid)
        stdin = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._base, started = start_plan(equipment, kind.type, kind.level, kind.memory_bytes, prepared.job_dir)
        try:
            self.slot.start(
                Launch(
                    argv=list(started.argv),
                    env=started.env,
                    cwd=place_in(prepared.job_dir).job_dir,
                    rlimits=started.rlimits,
                    stdin=stdin,
                    stdout=self.output.stdout,
                    stderr=self.output.stderr,
                    channel=self.channel.theirs.fileno(),
                    memory_bytes=kind.memory_bytes,
                ),
                gated=True,
            )
        finally:
            os.close(stdin)
        self.output.hand_over()
        self.channel.hand_over()


def start_plan(
    equipment: Equipment, job_type: str, level: str, memory_bytes: int | None, job_dir: str
) -> tuple[Plan, Plan]:
    """The plan of a job without a script, and how a spare for it is started."""
    interpreter = equipment.interpreter(job_type)
    assert interpreter is not None
    facts = facts_of_nobody(equipment, job_type)
    spec = JobSpec(main="-", limits=Limits(memory_bytes=memory_bytes))
    base = plan_script(spec, facts, place_in(job_dir), interpreter, b"")
    return base, gate.start(job_type, base, interpreter, equipment.gates_seen(level))
