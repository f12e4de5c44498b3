"""The Python client: `with Client() as c: job = c.submit("file.js", timeout="30s"); c.wait(job)`.

It blocks, reconnects and repeats by itself, so that a broker restart goes unnoticed: each submit has a request id
of its own. Errors are `WorkerctlError`s with the protocol's `code`. Not for use by several threads at once.
"""

from __future__ import annotations

import os
import time

from ctl.connection import ANSWER_S
from ctl.errors import DaemonFailed, WorkerctlError
from ctl.follow import Position
from ctl.job import Job, Submitted, id_of
from ctl.jobs import Jobs
from ctl.operations import Operations
from ctl.session import PATIENCE_S, Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType
    from typing import Any, Self, Unpack

    from ctl.follow import Event, Output
    from ctl.jobs import AnyJob
    from ctl.options import SubmitOptions

MOST_WAITED_FOR = 10_000


class Client(Jobs, Operations):
    """A client of the daemon at `socket`, or else of WORKER_SOCKET, your own one, the system's: the first that answers.

    `answer_s` is how long one answer may take, `patience_s` how long a daemon that has gone is waited for.
    Connects at the first call. Any method raises a WorkerctlError.
    """

    def __init__(
        self, socket: str | None = None, *, answer_s: float = ANSWER_S, patience_s: float = PATIENCE_S
    ) -> None:
        self._made_with = (socket, answer_s, patience_s)
        self._session = Session(sockets(socket), answer_s, patience_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection. Jobs go on."""
        self._session.close()

    def another(self, *, patience_s: float | None = None) -> Client:
        """A client of the same daemon with connections of its own, as each thread needs one."""
        socket, answer_s, usual_s = self._made_with
        return Client(socket, answer_s=answer_s, patience_s=usual_s if patience_s is None else patience_s)

    def submit(self, file: str | os.PathLike[str] | None = None, **options: Unpack[SubmitOptions]) -> Submitted:
        """Queues the script `file`: a file, a folder, or `-` for standard input; see `SubmitOptions`.

        Returns when the job is durable. Raises InvalidRequest, NotAllowed, QueueFull, WrongState (`conflict`).
        """
        from ctl.prepare import prepare

        with prepare(file, options) as request:
            return request.send(self._session)

    def submit_many(self, jobs: Iterable[Mapping[str, Any]]) -> list[Submitted | WorkerctlError]:
        """Queues many, each a dict of `submit`'s arguments (`{"file": "a.js", "args": ["1"]}`), up to 1000 in a
        transaction. Returns in their order what became of each: the place of a refused one holds its error.

        One with a `"key": "a"` may be waited for by later ones: `"after": ["a"]`, `["a:any"]`.
        """
        from ctl.bulk import store_each
        from ctl.prepare import prepare_all

        return store_each(self._session, prepare_all(self._session, jobs))

    def submit_lines(
        self, path: str, told: Callable[[int, Submitted], None], defaults: Mapping[str, Any] | None = None
    ) -> None:
        """Queues the jobs of a file as `submit --batch` does; `told` hears of each, with the number of its line."""
        from ctl.batch import read_batch

        read_batch(path, self._session, defaults or {}).store(self._session, told)

    def wait(self, job: AnyJob, timeout: str | float | None = None) -> Job:
        """The job, when it is final; raises WaitTimeout after `timeout` (seconds or `1h30m`)."""
        return next(self.wait_each([job], timeout))

    def wait_each(self, jobs: Iterable[AnyJob], timeout: str | float | None = None) -> Iterator[Job]:
        """Each job as it becomes final, whichever is first; raises WaitTimeout, NotFound."""
        from ctl.submission import duration_s

        waiting = dict.fromkeys(id_of(job) for job in jobs)
        end = None if timeout is None else time.monotonic() + duration_s("timeout", timeout)

        def rest() -> dict[str, Any]:
            left_s = None if end is None else max(0.0, end - time.monotonic())
            return {"jobs": [*waiting][:MOST_WAITED_FOR], "timeout_s": left_s}

        while waiting:
            before = len(waiting)
            for value in self._session.stream("wait", rest):
                if value["id"] in waiting:
                    del waiting[value["id"]]
                    yield Job(value)
            if len(waiting) == before:
                raise DaemonFailed("internal", f"the daemon ended the wait without job {next(iter(waiting))}")

    def follow(
        self,
        job: AnyJob,
        *,
        after: int = 0,
        attempt: int | None = None,
        stdout: int = 0,
        stderr: int = 0,
        output: bool = True,
    ) -> Iterator[Event | Output]:
        """Events and output of the job, from its beginning until it is final; resumes by itself.

        To resume yourself, give the `cursor` of the last Event, and the attempt and next byte of each stream.
        """
        position = Position(after, attempt, stdout, stderr)

        def fields() -> dict[str, Any]:
            return {"job": id_of(job), "output": output, **position.fields()}

        for value in self._session.stream("follow", fields):
            item = position.accept(value)
            if item is not None:
                yield item


def sockets(chosen: str | None) -> list[str]:
    """Where the daemon may listen: `chosen`, else WORKER_SOCKET, else your own socket, else the system's."""
    only = chosen or os.environ.get("WORKER_SOCKET")
    if only:
        return [only]
    from supervisor.paths import socket_candidates

    return socket_candidates(os.environ)
