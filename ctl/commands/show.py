"""`workerctl show`: all there is to know about a job."""

from __future__ import annotations

from ctl.console import escape
from ctl.moments import between, distance, local
from ctl.targets import add_job, job_ids
from supervisor.core.units import format_duration, format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ctl.client import Client
    from ctl.console import Console
    from ctl.job import Attempt, Job

EXAMPLES = ("workerctl show 42", "workerctl show --json @last")
_LONGEST_RESULT = 400


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own options."""
    add_job(parser, many="+")


def run(client: Client, console: Console, options: argparse.Namespace) -> int:
    """Prints the jobs; as JSON, one object a line."""
    for number, job_id in enumerate(job_ids(client, options.jobs)):
        job = client.show(job_id)
        if console.json:
            console.print_json(job.raw)
        elif console.quiet:
            console.print(str(job.id))
        else:
            if number:
                console.print("")
            _print(console, job)
    return 0


def _print(console: Console, job: Job) -> None:
    verdict = f" ({escape(job.reason)})" if job.reason else ""
    console.print(f"job {job.id}  {console.paint(job.state)}{verdict}  {escape(job.name or '')}")
    rows: list[tuple[str, object]] = [
        ("message", job.message),
        ("exit", job.signal if job.exit_code is None else f"code {job.exit_code}"),
        ("type", job.type),
        ("queue", f"{job.queue}, priority {job.priority}"),
        ("attempt", f"{job.attempt}, retries allowed {job.retries}"),
        ("submitted", _when(job.submitted_at)),
        ("due", _when(job.due_at)),
        ("started", _when(job.started_at)),
        ("finished", _when(job.finished_at)),
        ("waiting for", ", ".join(str(other) for other in job.waiting_for)),
        ("progress", _progress(job)),
        ("limits", _limits(job)),
        ("result", _result(job)),
    ]
    for name, value in rows:
        if value not in (None, ""):
            console.print(f"  {name:<12} {escape(value)}")
    for finding in job.findings:
        said = f"line {finding.get('line')}: {finding.get('rule')}: {finding.get('message')}"
        console.print(f"  {'code check':<12} {escape(said)}")
    for attempt in job.attempts:
        _print_attempt(console, attempt)


def _print_attempt(console: Console, attempt: Attempt) -> None:
    state = "running" if attempt.reason is None else "completed" if attempt.reason == "ok" else "failed"
    verdict = console.paint(state, escape(attempt.reason or "running"))
    ended = attempt.signal if attempt.exit_code is None else f"exit code {attempt.exit_code}"
    parts = [
        f"on {attempt.worker}" if attempt.worker else None,
        f"isolation {attempt.isolation}" if attempt.isolation else None,
        ended,
        f"evidence {attempt.evidence}" if attempt.evidence else None,
    ]
    console.print(f"  attempt {attempt.number}: {verdict}  {escape(', '.join(part for part in parts if part))}")
    used = [
        f"started {local(attempt.started_at)}" if attempt.started_at else None,
        f"ran {between(attempt.started_at, attempt.finished_at)}" if attempt.wall_s is None else None,
        f"wall {format_duration(attempt.wall_s)}" if attempt.wall_s is not None else None,
        f"cpu {format_duration(attempt.cpu_s)}" if attempt.cpu_s is not None else None,
        f"peak memory {format_size(attempt.peak_memory_bytes)}" if attempt.peak_memory_bytes is not None else None,
        f"stdout {format_size(attempt.stdout_bytes)}" if attempt.stdout_bytes is not None else None,
        f"stderr {format_size(attempt.stderr_bytes)}" if attempt.stderr_bytes is not None else None,
        f"{attempt.leftover_killed} leftover processes killed" if attempt.leftover_killed else None,
        f"artifacts {attempt.artifacts} (`workerctl artifacts`)" if attempt.artifacts else None,
    ]
    console.print(f"    {escape(', '.join(part for part in used if part))}")
    if attempt.message:
        console.print(f"    {escape(attempt.message)}")


def _when(text: str | None) -> str | None:
    return f"{local(text)} ({distance(text)})" if text else None


def _progress(job: Job) -> str:
    progress = job.progress or {}
    percentage = progress.get("percentage")
    parts = [f"{percentage:g} %" if isinstance(percentage, int | float) else None]
    parts += [progress.get("stage"), progress.get("message")]
    return ", ".join(str(part) for part in parts if part)


def _limits(job: Job) -> str:
    return ", ".join(f"{_LIMIT_NAMES.get(name, name)} {_limit(name, value)}" for name, value in job.limits.items())


_LIMIT_NAMES = {
    "wall_s": "time",
    "cpu_s": "cpu",
    "memory_bytes": "memory",
    "processes": "processes",
    "open_files": "open files",
    "file_size_bytes": "file size",
    "disk_bytes": "disk",
    "output_bytes": "output",
}


def _limit(name: str, value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, int | float) and name.endswith("_s"):
        return format_duration(value)
    if isinstance(value, int) and name.endswith("_bytes"):
        return format_size(value)
    return str(value)


def _result(job: Job) -> str | None:
    if job.result is None:
        return None
    import json

    text = json.dumps(job.result)
    return text if len(text) <= _LONGEST_RESULT else f"{text[:_LONGEST_RESULT]}… (`workerctl result {job.id}` has all)"
