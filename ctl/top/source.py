"""Where the screen's contents come from: threads that talk with the daemon, so that no key waits for it.

Invariant: it looks when an event says that something happened (four times a second at most), each `interval_s` while a
job runs, because what a job uses is no event, and else every few seconds. It outlives a daemon that goes and comes back.
Never: draws, or touches the terminal.
"""

from __future__ import annotations

import threading
import time
from collections import deque

from ctl.errors import WorkerctlError
from ctl.follow import Output
from ctl.top.snapshot import look

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ctl.client import Client
    from ctl.top.snapshot import Snapshot

SHORTEST_S = 0.25
IDLE_S = 5.0
_AGAIN_S = 1.0
_PATIENCE_S = 0.3
_KEPT_LINES = 2000
_LONGEST_LINE = 4096


class Source:
    """`snapshot` is the newest look, `trouble` why there is no newer one, `said` the answer to the last action."""

    def __init__(self, client: Client, first: Snapshot, interval_s: float, changed: Callable[[], None]) -> None:
        self.snapshot = first
        self.trouble: str | None = None
        self.said = ""
        self._client = client
        self._interval_s = interval_s
        self._changed = changed
        self._happened = threading.Event()
        self._actions: deque[tuple[str, int]] = deque()

    def start(self) -> None:
        """Begins to fetch, until the process ends."""
        for work in (self._listen, self._fetch):
            threading.Thread(target=work, name=work.__name__.strip("_"), daemon=True).start()

    def act(self, verb: str, job: int) -> None:
        """Has `cancel` or `retry` done to a job; `said` will tell."""
        self._actions.append((verb, job))
        self._happened.set()

    def _listen(self) -> None:
        while True:
            try:
                with self._client.another(patience_s=_PATIENCE_S) as client:
                    for _ in client.events(limit=0, follow=True):
                        self._happened.set()
            except (WorkerctlError, OSError):
                pass
            time.sleep(_AGAIN_S)

    def _fetch(self) -> None:
        with self._client.another(patience_s=_PATIENCE_S) as client:
            while True:
                self._happened.wait(self._interval_s if self._is_moving() else max(IDLE_S, self._interval_s))
                self._happened.clear()
                self._act_on(client)
                self._look(client)
                self._changed()
                time.sleep(SHORTEST_S)

    def _is_moving(self) -> bool:
        return self.trouble is not None or bool(self.snapshot.running)

    def _look(self, client: Client) -> None:
        try:
            self.snapshot = look(client)
            self.trouble = None
        except (WorkerctlError, OSError) as error:
            self.trouble = str(error).partition("\n")[0]

    def _act_on(self, client: Client) -> None:
        while self._actions:
            verb, job = self._actions.popleft()
            try:
                state = client.cancel(job, "workerctl top") if verb == "cancel" else client.retry(job)
                self.said = f"job {job}: {'cancelling' if verb == 'cancel' and state == 'running' else state}"
            except (WorkerctlError, OSError) as error:
                self.said = str(error).partition("\n")[0]


class Tail:
    """The last lines of what a job prints, as they come; stdout and stderr together. `ended`: there will be no more."""

    def __init__(self, client: Client, job: int, changed: Callable[[], None]) -> None:
        self.job = job
        self.ended = ""
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._open = ""
        self._client = client
        self._changed = changed
        self._one_at_a_time = threading.Lock()
        threading.Thread(target=self._follow, name=f"follow {job}", daemon=True).start()

    def last(self, count: int) -> list[str]:
        """The last `count` lines, not yet made harmless."""
        with self._one_at_a_time:
            lines = [*self._lines, self._open] if self._open else [*self._lines]
        return lines[-count:] if count > 0 else []

    def _follow(self) -> None:
        try:
            with self._client.another() as client:
                for item in client.follow(self.job):
                    if isinstance(item, Output):
                        self._take(item.data.decode("utf-8", "replace"))
                        self._changed()
                job = client.show(self.job)
            self.ended = f"{job.state}: {job.reason}" if job.reason else job.state
        except (WorkerctlError, OSError) as error:
            self.ended = str(error).partition("\n")[0]
        self._changed()

    def _take(self, text: str) -> None:
        with self._one_at_a_time:
            *whole, self._open = (self._open + text).split("\n")
            self._lines.extend(line.rstrip("\r") for line in whole)
            if len(self._open) > _LONGEST_LINE:
                self._lines.append(self._open)
                self._open = ""
