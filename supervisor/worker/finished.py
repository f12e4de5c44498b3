"""What the end of an attempt is told as, and what is to be said of what it left. Ends nothing itself."""

from __future__ import annotations

import errno
from dataclasses import dataclass

import msgspec
from loguru import logger

from supervisor.core.job import Progress
from supervisor.core.outcome import Outcome
from supervisor.wire.lease import Lease
from supervisor.worker.artifacts import collect
from supervisor.worker.equipment import Equipment
from supervisor.worker.output import Output
from supervisor.worker.workspace import OUTPUT


@dataclass(frozen=True)
class Finished:
    """What the broker is told. `outcome` None: no process was ever started, the lease is given back.

    `lost`: that was the sandbox's fault, not somebody's wish. `declined`: the handler does not want this job.
    `not_begun`: its spare ended before it took the job; the same lease is to be started in the ordinary way.
    `starved`: the machine is short of this now.
    """

    outcome: Outcome | None
    result: msgspec.Raw | None = None
    progress: Progress | None = None
    lost: bool = False
    declined: bool = False
    not_begun: bool = False
    starved: str | None = None


def with_note(outcome: Outcome, note: str | None) -> Outcome:
    """The outcome, with one more thing said."""
    return outcome if note is None else msgspec.structs.replace(outcome, message=f"{outcome.message}; {note}")


def lost_output(output: Output, job: int) -> str | None:
    """What is to be said of output that may not be there."""
    if not output.disk_is_full():
        return None
    logger.warning("the disk of the outputs is full: output of job {} may be missing", job)
    return "the disk that keeps the output is full, some of it may be missing"


def with_artifacts(outcome: Outcome, work_fd: int, lease: Lease, equipment: Equipment) -> Outcome:
    """Keeps what the job left: its tree is gone, its folder is still there."""
    equipment.expect_disk()
    collected = collect(
        work_fd, OUTPUT, equipment.paths, lease.job, lease.attempt, equipment.artifact_caps, equipment.job_uid
    )
    return with_note(msgspec.structs.replace(outcome, artifacts=len(collected.kept)), collected.sentence())


def not_written(error: OSError, equipment: Equipment, level: str) -> Outcome:
    """The end of a job whose files could not be written into its folder."""
    is_room = error.errno in (errno.ENOSPC, errno.EDQUOT)
    is_machines = is_room and not equipment.caps_disk(level)
    why = "see the daemon's log"
    if is_room:
        why = "they do not fit into its folder: raise it with --disk"
    if is_machines:
        why = f"the disk that holds {equipment.paths.work} is full: free some space"
    message = f"its files could not be written ({error.strerror}): {why}"
    return Outcome(reason="spawn_error", message=message, retryable=is_machines)
