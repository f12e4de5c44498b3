"""What is seen of a look, and what keys do to it. Values in, values out: it neither draws nor asks the daemon."""

from __future__ import annotations

from supervisor.core.names import FINAL_STATES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ctl.job import Job

PAGE = 10
BROWSE, FILTER, CONFIRM, FOLLOW = "browse", "filter", "confirm", "follow"
QUIT, CANCEL, RETRY = "quit", "cancel", "retry"
_MOVES = {"up": -1, "k": -1, "down": 1, "j": 1, "pageup": -PAGE, "pagedown": PAGE}


class View:
    """`press` takes a key and returns what is to be done about it: (QUIT, 0), (CANCEL, job), (RETRY, job), or None.

    The selection stays with its job while lists change around it. `mode` FOLLOW shows what job `followed` prints.
    """

    def __init__(self) -> None:
        self.mode = BROWSE
        self.filter = ""
        self.notice = ""
        self.followed: int | None = None
        self.selected: int | None = None
        self._place = 0

    def visible(self, jobs: Sequence[Job]) -> list[Job]:
        """Those that every word of the filter is found in: in id, state, name, type, queue or reason."""
        words = self.filter.lower().split()
        return [job for job in jobs if all(word in _text_of(job) for word in words)]

    def settle(self, jobs: Sequence[Job]) -> int:
        """The place of the selected job among the visible `jobs`; another one's, if it is not there any more."""
        ids = [job.id for job in jobs]
        if self.selected in ids:
            self._place = ids.index(self.selected)
        elif ids:
            self._place = min(self._place, len(ids) - 1)
            self.selected = ids[self._place]
        else:
            self._place, self.selected = 0, None
        return self._place

    def press(self, key: str, jobs: Sequence[Job]) -> tuple[str, int] | None:
        """One key, with all jobs of the newest look."""
        visible = self.visible(jobs)
        self.settle(visible)
        self.notice = ""
        if self.mode == FILTER:
            self._edit(key)
            return None
        if self.mode == CONFIRM:
            return self._confirm(key)
        if self.mode == FOLLOW:
            return self._leave(key)
        return self._browse(key, visible)

    def _browse(self, key: str, visible: Sequence[Job]) -> tuple[str, int] | None:
        job = visible[self._place] if visible else None
        if key == "q":
            return QUIT, 0
        if key in _MOVES or key in ("home", "end"):
            self._move(key, visible)
        elif key == "/":
            self.mode = FILTER
        elif key == "escape":
            self.filter = ""
        elif key in ("f", "enter", "c", "r") and job is None:
            self.notice = "there is no job here"
        elif key in ("f", "enter") and job is not None:
            self.mode, self.followed = FOLLOW, job.id
        elif key == "c" and job is not None:
            if job.state in FINAL_STATES:
                self.notice = f"job {job.id} is {job.state} already"
            else:
                self.mode = CONFIRM
        elif key == "r" and job is not None:
            if job.state in FINAL_STATES:
                return RETRY, job.id
            self.notice = f"job {job.id} is {job.state}: only what is over can be run again"
        return None

    def _move(self, key: str, visible: Sequence[Job]) -> None:
        if visible:
            place = {"home": 0, "end": len(visible) - 1}.get(key, self._place + _MOVES.get(key, 0))
            self._place = min(max(place, 0), len(visible) - 1)
            self.selected = visible[self._place].id

    def _edit(self, key: str) -> None:
        if key == "enter":
            self.mode = BROWSE
        elif key == "escape":
            self.mode, self.filter = BROWSE, ""
        elif key == "backspace":
            self.filter = self.filter[:-1]
        elif len(key) == 1 and key.isprintable():
            self.filter += key

    def _confirm(self, key: str) -> tuple[str, int] | None:
        self.mode = BROWSE
        if key == "y" and self.selected is not None:
            return CANCEL, self.selected
        self.notice = "not cancelled"
        return None

    def _leave(self, key: str) -> tuple[str, int] | None:
        if key in ("q", "escape", "f", "enter"):
            self.mode, self.followed = BROWSE, None
        return None


def _text_of(job: Job) -> str:
    return " ".join(
        str(part) for part in (job.id, job.state, job.name, job.type, job.queue, job.reason) if part
    ).lower()
