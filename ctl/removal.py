"""Removing many jobs by what they are, and saying which, or how many."""

from __future__ import annotations

from supervisor.core.units import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import Any

    from ctl.console import Console


def add_age(parser: argparse.ArgumentParser) -> None:
    """The option --older-than, and --dry-run."""
    parser.add_argument(
        "--older-than", metavar="D", help="that ended longer ago than this (one that has not ended: was submitted)"
    )
    parser.add_argument("--dry-run", action="store_true", help="only print which jobs, with their present state")


def print_removal(console: Console, steps: Iterator[dict[str, Any]], *, dry_run: bool, each: bool) -> int:
    """Prints what `Client.prune` yields, each job (always with `dry_run`) or their number; returns the exit code."""
    jobs: dict[str, int] = {}
    results: list[dict[str, Any]] = []
    outputs = {"jobs": 0, "bytes": 0}
    for step in steps:
        outputs = {name: outputs[name] + step["outputs"][name] for name in outputs}
        for one in step["jobs"]:
            jobs[one["state"]] = jobs.get(one["state"], 0) + 1
            state = one["state"] if dry_run else "deleted"
            if console.json and each:
                results.append({"job": one["job"], "state": state})
            elif console.quiet:
                console.print(str(one["job"]))
            elif not console.json and (each or dry_run):
                console.print(f"{one['job']}  {console.paint(state)}")
    if console.json:
        summary = {"removed": sum(jobs.values()), "jobs": jobs, "outputs": outputs, "dry_run": dry_run}
        console.print_json(results if each else summary)
    elif each:
        if not jobs:
            console.say("no job is like that")
    else:
        _print_summary(console, sum(jobs.values()), outputs, dry_run=dry_run)
    return 0


def _print_summary(console: Console, jobs: int, outputs: dict[str, int], *, dry_run: bool) -> None:
    would = "would remove" if dry_run else "removed"
    line = f"{would} {jobs} {'job' if jobs == 1 else 'jobs'}"
    if outputs["jobs"]:
        others = "1 job" if outputs["jobs"] == 1 else f"{outputs['jobs']} jobs"
        line += f", and the outputs of {others} more ({format_size(outputs['bytes'])})"
    if dry_run:
        console.say(line)
    elif not console.quiet:
        console.print(line)
