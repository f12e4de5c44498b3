"""Handlers to try: `words` counts words, `hoard` leaks memory on purpose, to see a runner replaced by max_rss."""

from __future__ import annotations

import time
from typing import Any

from supervisor import Context, Job, JobWorker


class Words(JobWorker):
    """Counts the words of `params["text"]`, slowly if `params["pause_s"]` says so."""

    types = {"words"}

    def setup(self) -> None:
        self.jobs_done = 0

    def can_process(self, job: Job) -> bool:
        return isinstance(job.params, dict) and "text" in job.params

    def execute(self, job: Job, context: Context) -> dict[str, int]:
        words: dict[str, int] = {}
        lines = job.params["text"].splitlines() or [""]
        for number, line in enumerate(lines, 1):
            if context.cancelled:
                break
            for word in line.split():
                words[word.lower()] = words.get(word.lower(), 0) + 1
            context.progress(100 * number / len(lines), "counting", f"line {number} of {len(lines)}")
            time.sleep(job.params.get("pause_s", 0))
        self.jobs_done += 1
        context.log.info("%d different words", len(words))
        print(f"this process has done {self.jobs_done} jobs")
        return words


class Hoarder(JobWorker):
    """Keeps `params["bytes"]` more of memory with each job, and never gives them back."""

    types = {"hoard"}

    def setup(self) -> None:
        self.hoard: list[Any] = []

    def execute(self, job: Job, context: Context) -> int:
        self.hoard.append(bytearray(b"x") * job.params["bytes"])
        return len(self.hoard)
