"""Where a worker's jobs are, and what they are told of themselves: the same for a job and for a spare that waits for one."""

from __future__ import annotations

from supervisor.runtime.plan import Facts, Place
from supervisor.wire.lease import Lease
from supervisor.worker.equipment import Equipment
from supervisor.worker.workspace import OUTPUT, TEMPORARY, WORK


def place_in(job_dir: str) -> Place:
    """The parts of a job's folder, as the job sees them."""
    return Place(
        job_dir=f"{job_dir}/{WORK}",
        output_dir=f"{job_dir}/{OUTPUT}",
        tmp_dir=f"{job_dir}/{TEMPORARY}",
    )


def facts_of(equipment: Equipment, lease: Lease) -> Facts:
    """What the environment says of the attempt and of this daemon."""
    return _facts(equipment, lease.type, lease.job, lease.attempt, lease.queue)


def facts_of_nobody(equipment: Equipment, job_type: str) -> Facts:
    """The same where there is no attempt yet."""
    return _facts(equipment, job_type, 0, 0, "")


def _facts(equipment: Equipment, job_type: str, job: int, attempt: int, queue: str) -> Facts:
    return Facts(
        job=job,
        attempt=attempt,
        queue=queue,
        type=job_type,
        passed=equipment.passed_environment,
        time_zone=equipment.time_zone,
        mark=equipment.mark,
    )
