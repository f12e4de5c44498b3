"""A handler of tiny jobs that note down that they ran, and may end a process in the middle. Imported by runners only."""

from __future__ import annotations

import os
import time
from typing import Any

from supervisor import Context, Job, JobWorker


class Batch(JobWorker):
    """Each execution is a line of `params["notes"]`: job and attempt."""

    types = {"tiny"}

    def execute(self, job: Job, context: Context) -> Any:
        with open(job.params["notes"], "a") as notes:
            notes.write(f"{job.id} {job.attempt}\n")
        if job.attempt == 1 and (victim := job.params.get("kill")) is not None:
            os.kill(os.getpid() if victim == "self" else victim, 9)
            # Whoever has it may need a moment to die; a broker's death does not concern a job at all.
            time.sleep(job.params.get("linger_s", 30))
        while (sign := job.params.get("until")) is not None and not os.path.exists(sign):
            time.sleep(0.005)
        return job.attempt
