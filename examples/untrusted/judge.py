"""Runs every script of `generated/` in the pool `untrusted`, and says what came of it: what you would tell a model.

python judge.py [FILE …]
"""

from __future__ import annotations

import pathlib
import sys

from ctl import Client, Job, WorkerctlError

HERE = pathlib.Path(__file__).resolve().parent
LONGEST = 300  # Of what a stranger's code printed, so many characters go on to anybody.


def main(files: list[str]) -> None:
    """Submits all, then tells of each, in their order."""
    scripts = [pathlib.Path(file) for file in files] or sorted((HERE / "generated").iterdir())
    with Client() as client:
        jobs = [(script.name, submitted(client, script)) for script in scripts]
        for name, job in jobs:
            print(f"{name}: {job if isinstance(job, str) else verdict(client, client.wait(job))}")


def submitted(client: Client, script: pathlib.Path) -> int | str:
    """The job's id; or why the daemon does not take it: above the pool's maxima, queue full, isolation too weak."""
    try:
        return client.submit(script, queue="untrusted").id
    except WorkerctlError as error:
        return f"refused: {error}"


def verdict(client: Client, job: Job) -> str:
    """One line. The reason is the daemon's own knowledge; what the script printed is a claim of the script."""
    if job.state == "completed":
        return f"it says {printed(client, job, 'stdout')!r}"
    last = printed(client, job, "stderr").splitlines()[-1:] if job.reason == "exit" else []
    return " | ".join([f"{job.reason}: {job.message}", *last])


def printed(client: Client, job: Job, stream: str) -> str:
    """The end of its output, as text."""
    return client.logs(job, stream).decode(errors="replace").strip()[-LONGEST:]


if __name__ == "__main__":
    main(sys.argv[1:])
