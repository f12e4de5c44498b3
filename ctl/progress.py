"""The bar below the output of `run` and `wait`: how far jobs are, as far as they say so.

On a terminal's stderr alone, and gone before anything else is written. It never decides anything: where it cannot be
drawn, or the daemon does not tell, nothing is missing but the bar.
"""

from __future__ import annotations

from contextlib import nullcontext

from ctl.console import STDERR, escape, width_of
from ctl.errors import WorkerctlError
from ctl.table import cut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType
    from typing import Any, Self

    from ctl.client import Client
    from ctl.console import Console
    from ctl.follow import Event

_CELLS = 24
_USUAL_WIDTH = 80
PROGRESS = "progress"


def bar(share: float, cells: int = _CELLS) -> str:
    """`██████░░░░`: a share from 0 to 1."""
    full = int(min(max(share, 0.0), 1.0) * cells)
    return "█" * full + "░" * (cells - full)


def words_of(said: Mapping[str, Any]) -> str:
    """What a job says of its progress: `██████░░░░  40 %  parsing: page 3`."""
    percentage = said.get("percentage")
    parts = [bar(percentage / 100), f"{percentage:3.0f} %"] if isinstance(percentage, int | float) else []
    stage, message = said.get("stage"), said.get("message")
    parts.append(": ".join(escape(word) for word in (stage, message) if word))
    return "  ".join(part for part in parts if part)


class JobBar:
    """The bar of one job that is being followed. While it is entered it may be there; afterwards it is gone."""

    def __init__(self, console: Console, job: int) -> None:
        self._console = console
        self._job = job
        self._draws = console.can_draw
        self._text = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._text = ""
        self.redraw()

    def hear(self, event: Event) -> None:
        """Something happened to the job: only while it runs has it a progress."""
        said = words_of(event.data) if event.event == PROGRESS else ""
        self._text = f"job {self._job}  {said}" if said else ""
        self.redraw()

    def redraw(self) -> None:
        """Draws the bar, also where something else was written in its place."""
        if self._draws:
            self._console.draw(_fit(self._text))


class WaitBar:
    """The bar of jobs that are waited for: how many are over, and what one of the others said last.

    The events come over a connection of their own, in a thread that may be left behind at any time.
    """

    def __init__(self, console: Console, client: Client, jobs: Sequence[int]) -> None:
        self._console = console
        self._client = client
        self._jobs = dict.fromkeys(jobs)
        self._count = len(self._jobs)
        self._said: tuple[int, str] | None = None
        self._draws = console.can_draw and self._count > 0
        self._one_at_a_time: AbstractContextManager[Any] = nullcontext()

    def __enter__(self) -> Self:
        if self._draws:
            from threading import RLock, Thread

            self._one_at_a_time = RLock()
            self._console.share()
            Thread(target=self._listen, name="progress", daemon=True).start()
            self._draw()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._one_at_a_time:
            if self._draws:
                self._draws = False
                self._console.draw("")

    def over(self, job: int) -> None:
        """This one is waited for no more."""
        with self._one_at_a_time:
            self._jobs.pop(job, None)
            self._draw()

    def _listen(self) -> None:
        only = next(iter(self._jobs)) if self._count == 1 else None
        try:
            with self._client.another() as client:
                if only is not None and (progress := client.show(only).progress):
                    self._hear(only, progress)
                for event in client.events(job=only, limit=0, follow=True):
                    if event.event == PROGRESS and event.job in self._jobs:
                        self._hear(event.job, event.data)
        except (WorkerctlError, OSError):
            return

    def _hear(self, job: int, said: Mapping[str, Any]) -> None:
        with self._one_at_a_time:
            self._said = (job, words_of(said))
            self._draw()

    def _draw(self) -> None:
        if not self._draws:
            return
        parts = []
        if self._count > 1 and self._jobs:
            over = self._count - len(self._jobs)
            parts.append(f"{bar(over / self._count, 12)}  {over} of {self._count} jobs are over")
        if self._said is not None and self._said[0] in self._jobs:
            parts.append(f"job {self._said[0]}  {self._said[1]}")
        self._console.draw(_fit("  ".join(parts)))


def _fit(text: str) -> str:
    return cut(text, (width_of(STDERR) or _USUAL_WIDTH) - 1)
