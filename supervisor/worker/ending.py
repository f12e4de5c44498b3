"""What the keeper reported, what the worker intended, and what the output files say: one `Ending`. Decides nothing."""

from __future__ import annotations

import os

from supervisor.core.outcome import Ending, Intent
from supervisor.sandbox import Ended, KeeperLost
from supervisor.worker.output import Output


def ending_of(ended: Ended, output: Output, intent: Intent | None, program: str) -> Ending:
    """The ending of an attempt whose tree is gone. Cuts its output to the cap."""
    over = output.over()
    output.cut()
    stdout_bytes, stderr_bytes = output.sizes()
    return Ending(
        status=ended.status,
        killed_for=ended.killed_for,
        intent=intent,
        on_request=ended.on_request,
        stuck=ended.stuck,
        wall_s=ended.wall_s,
        cpu_s=ended.cpu_s,
        peak_memory_bytes=ended.peak_memory_bytes,
        max_rss_bytes=ended.max_rss_bytes,
        peak_processes=ended.peak_processes,
        pids_refused=ended.pids_refused,
        leftover_killed=ended.leftover_killed,
        stdout_bytes=stdout_bytes,
        stderr_bytes=stderr_bytes,
        output_over=over,
        stderr_tail=output.tail_of_stderr(),
        program=program,
    )


def in_words(event: Ended | KeeperLost) -> str:
    """How a process ended that had no job: what follows its name in a sentence."""
    if isinstance(event, KeeperLost):
        return f"was lost: {event.reason}"
    if os.WIFSIGNALED(event.status):
        return f"was ended by signal {os.WTERMSIG(event.status)}"
    return f"exited with code {os.WEXITSTATUS(event.status)}"
