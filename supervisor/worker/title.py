"""What `ps` shows of a worker."""

from __future__ import annotations

from setproctitle import setproctitle


def set_title(name: str, job: int | None) -> None:
    """`worker-supervisor: worker scripts/2 [job 42]`."""
    setproctitle(f"worker-supervisor: worker {name}" + (f" [job {job}]" if job is not None else ""))
