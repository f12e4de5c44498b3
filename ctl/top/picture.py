"""Draws a look at the daemon as lines of a terminal, with Rich, which nothing else imports.

Invariant: no more lines than there is room for, none wider than the terminal. All that comes from elsewhere is escaped
before Rich sees it, and is text there, never markup.
"""

from __future__ import annotations

import io
import time

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ctl.console import color_of, escape
from ctl.job_columns import progress_words
from ctl.progress import bar
from ctl.top.snapshot import Use, waiting_running
from ctl.top.view import CONFIRM, FILTER, FOLLOW
from supervisor.core.units import format_duration, format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ctl.job import Job
    from ctl.top.snapshot import Snapshot
    from ctl.top.source import Tail
    from ctl.top.view import View

_STYLES = {"31": "red", "32": "green", "33": "yellow", "36": "cyan", "2": "dim"}
_KEYS = "↑↓ choose   f follow   c cancel   r run again   / filter   q quit"
_FOLLOW_KEYS = "q back"
_MOST_QUEUES = 4
_ROOM_FOR_QUEUES = 14
_YIELDING = ("DOES", "NAME", "NOTE", "PROGRESS")
_JOB_COLUMNS = (
    (76, ("JOB", "STATE", "NAME", "QUEUE", "TRY", "TIME", "CPU", "MEMORY", "PROGRESS")),
    (60, ("JOB", "STATE", "NAME", "TIME", "MEMORY", "PROGRESS")),
    (0, ("JOB", "STATE", "NAME", "PROGRESS")),
)
"""What a terminal of at least so many columns has room for."""
_TIGHT = 0.9
"""What has used so much of a limit is shown in red."""


class Picture:
    """Draws; remembers nothing but how."""

    def __init__(self, *, colors: bool) -> None:
        self._colors = colors

    def lines(
        self,
        view: View,
        seen: Snapshot,
        width: int,
        height: int,
        tail: Tail | None = None,
        trouble: str | None = None,
        said: str = "",
    ) -> list[str]:
        """The screen, from its top to its last line."""
        head = [self._headline(seen, trouble)]
        foot = self._foot(view, seen, said)
        if view.mode == FOLLOW and tail is not None:
            body = self._followed(tail, seen, height - 4)
        else:
            body = self._overview(view, seen, width, height - 2)
        return self._rendered([*head, *body], width, height - 1) + self._rendered([foot], width, 1)

    # Parts

    def _headline(self, seen: Snapshot, trouble: str | None) -> Text:
        status = seen.status
        line = Text(f"worker-supervisor {escape(status['version'])}  ", "bold")
        if trouble is not None:
            line.append(f"trying again, this is how it was: {escape(trouble)}", "bold red")
            return line
        line.append_text(_state(status["state"]))
        line.append(f"  up {format_duration(int(status['uptime_s']))}", "")
        for state, number in status["jobs"].items():
            line.append("  ").append(f"{number} {escape(state)}", _style(state) if number else "dim")
        return line

    def _overview(self, view: View, seen: Snapshot, width: int, room: int) -> list[Text | Table]:
        visible = view.visible(seen.jobs)
        place = view.settle(visible)
        workers = seen.workers[: max(1, (room - 4) // 3)]
        queues = seen.queues[:_MOST_QUEUES] if room >= _ROOM_FOR_QUEUES else []
        parts: list[Text | Table] = [Text(""), _workers(workers)]
        if len(workers) < len(seen.workers):
            parts.append(Text(f"… and {len(seen.workers) - len(workers)} more workers", "dim"))
        if queues:
            parts += [Text(""), _queues(queues)]
        used = sum(part.row_count + 1 if isinstance(part, Table) else 1 for part in parts)
        rows = max(1, room - used - 2)
        first = max(0, min(place - rows // 2, len(visible) - rows))
        parts.append(Text(""))
        if visible:
            parts.append(_jobs(visible[first : first + rows], seen, view.selected, width))
        else:
            parts.append(Text("no job is like that" if seen.jobs else "no jobs", "dim"))
        return parts

    def _followed(self, tail: Tail, seen: Snapshot, room: int) -> list[Text | Table]:
        job = next((job for job in seen.jobs if job.id == tail.job), None)
        title = Text(f"job {tail.job}  ", "bold")
        if job is not None:
            title.append(escape(job.name or "")).append("  ").append_text(_state(job.state))
            title.append(f"  attempt {job.attempt}  {escape(progress_words(job))}")
        lines = [Text(escape(line.expandtabs(8))) for line in tail.last(room - (1 if tail.ended else 0))]
        ending = [Text(f"— {escape(tail.ended)} —", "dim")] if tail.ended else []
        return [title, Text(""), *lines, *ending]

    def _foot(self, view: View, seen: Snapshot, said: str) -> Text:
        if view.mode == FILTER:
            return Text(f"filter: {escape(view.filter)}▏  enter to keep, escape for none", "reverse")
        if view.mode == CONFIRM:
            return Text(f"cancel job {view.selected}?  y or n", "bold reverse")
        if view.mode == FOLLOW:
            return Text(_FOLLOW_KEYS, "reverse")
        told = view.notice or said
        shown = f"   filter: {escape(view.filter)}" if view.filter else ""
        return Text(f"{escape(told)}   {_KEYS}" if told else _KEYS + shown, "reverse")

    # To lines

    def _rendered(self, parts: Sequence[Text | Table], width: int, height: int) -> list[str]:
        """The parts one below the other, exactly `height` lines."""
        file = io.StringIO()
        console = Console(
            file=file,
            force_terminal=True,
            color_system="standard" if self._colors else None,
            no_color=not self._colors,
            width=width,
            height=height,
            markup=False,
            highlight=False,
            emoji=False,
            legacy_windows=False,
        )
        for part in parts:
            console.print(part, no_wrap=True, overflow="ellipsis", crop=True)
        lines = file.getvalue().splitlines()[:height]
        return lines + [""] * (height - len(lines))


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", expand=False)
    for name in names:
        # Of those that may wrap Rich takes first where there is too little room; their cells are told not to.
        table.add_column(name, no_wrap=name not in _YIELDING, overflow="ellipsis")
    return table


def _yielding(text: str, style: str = "") -> Text:
    return Text(text, style, no_wrap=True, overflow="ellipsis")


def _workers(workers: Sequence[dict[str, Any]]) -> Table:
    table = _table("WORKER", "STATE", "DOES", "DONE", "FAILED", "NOTE")
    for worker in workers:
        job = "" if worker["job"] is None else f"job {worker['job']}  {escape(worker.get('job_name') or '')}"
        table.add_row(
            Text(escape(worker["name"])),
            _state(worker["state"]),
            _yielding(job),
            Text(str(worker["done"])),
            Text(str(worker["failed"])),
            _yielding(escape(worker["note"] or "")),
        )
    return table


def _queues(queues: Sequence[dict[str, Any]]) -> Table:
    table = _table("QUEUE", "STATE", "WAITING", "RUNNING")
    for queue in queues:
        numbers = (_of(number, queue[cap]) for number, cap in zip(waiting_running(queue), _CAPS, strict=True))
        table.add_row(
            Text(escape(queue["name"])),
            _state("paused" if queue["paused"] else "open"),
            *(Text(one) for one in numbers),
        )
    return table


_CAPS = ("max_queued", "max_running")


def _jobs(jobs: Sequence[Job], seen: Snapshot, selected: int | None, width: int) -> Table:
    names = next(names for least, names in _JOB_COLUMNS if width >= least)
    table = _table(*names)
    now_s = time.time()
    for job in jobs:
        use = Use(job, seen.worker_of.get(job.id), now_s)
        cells = {
            "JOB": Text(str(job.id)),
            "STATE": _state(job.state),
            "NAME": _yielding(escape(job.name or "")),
            "QUEUE": Text(escape(job.queue)),
            "TRY": Text(str(job.attempt)),
            "TIME": _against(use.wall_s, _brief),
            "CPU": _against(use.cpu_s, _brief),
            "MEMORY": _against(use.memory_bytes, _brief_size),
            "PROGRESS": _progress(job),
        }
        table.add_row(*(cells[name] for name in names), style="reverse" if job.id == selected else "")
    return table


def _against(pair: tuple[float | None, float | None], words: Any) -> Text:
    """`12s/10m`: what is used of a limit."""
    used, limit = pair
    if used is None:
        return Text("")
    text = words(used) if limit is None else f"{words(used)}/{words(limit)}"
    return Text(text, "red" if limit and used >= _TIGHT * limit else "")


def _brief(seconds: float) -> str:
    whole = int(seconds)
    for unit_s, name in ((86400, "d"), (3600, "h"), (60, "m")):
        if whole >= unit_s:
            more = whole % unit_s * 10 // unit_s
            return f"{whole // unit_s}.{more}{name}" if more and whole < 10 * unit_s else f"{whole // unit_s}{name}"
    return f"{seconds:.1f}s" if seconds < 10 and seconds != whole else f"{whole}s"


def _brief_size(size: float) -> str:
    return format_size(int(size)).replace(" ", "")


def _progress(job: Job) -> Text:
    if job.state != "running":
        return _yielding(escape(job.message or ""), "dim")
    percentage = (job.progress or {}).get("percentage")
    drawn = f"{bar(percentage / 100, 10)} " if isinstance(percentage, int | float) else ""
    return _yielding(f"{drawn}{escape(progress_words(job))}")


def _of(number: int, cap: int | None) -> str:
    return str(number) if cap is None else f"{number} of {cap}"


def _state(state: str) -> Text:
    return Text(escape(state), _style(state))


def _style(state: str) -> str:
    return _STYLES.get(color_of(state) or "", "")
