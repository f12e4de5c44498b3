"""The Python client: `with Client() as c: job = c.submit("file.js", timeout="30s"); c.wait(job)`.

It blocks, reconnects and repeats by itself, so that a broker restart goes unnoticed: each submit has a request id
of its own. Errors are `WorkerctlError`s with the protocol's `code`. Not for use by several threads at once.
"""

from __future__ import annotations

import os
import time

from ctl.connection import ANSWER_S
from ctl.errors import DaemonFailed, NoDaemon, NotFound, WorkerctlError, WrongState
from ctl.follow import Position
from ctl.job import Job, Submitted, id_of
from ctl.session import PATIENCE_S, Session
from supervisor.core.names import CANCELLED, FINAL_STATES

TYPE_CHECKING = False
if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType
    from typing import Any, Self, Unpack

    from ctl.artifacts import Artifacts
    from ctl.follow import Event, Output
    from ctl.options import SubmitOptions

    AnyJob = int | Job | Submitted

LARGEST_PAGE = 250
"""Jobs asked for at once: so many fit into one line, whatever their messages."""
MOST_WAITED_FOR = 10_000


class Client:
    """A client of the daemon at `socket`, or else of WORKER_SOCKET, your own one, the system's: the first that answers.

    `answer_s` is how long one answer may take, `patience_s` how long a daemon that has gone is waited for.
    Connects at the first call. Any method raises a WorkerctlError.
    """

    def __init__(
        self, socket: str | None = None, *, answer_s: float = ANSWER_S, patience_s: float = PATIENCE_S
    ) -> None:
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

    def submit(self, file: str | os.PathLike[str] | None = None, **options: Unpack[SubmitOptions]) -> Submitted:
        """Queues the script `file`: a file, a folder, or `-` for standard input; see `SubmitOptions`.

        Returns when the job is durable. Raises InvalidRequest, NotAllowed, QueueFull, WrongState (`conflict`).
        """
        from ctl.prepare import prepare

        with prepare(file, options) as request:
            return request.send(self._session)

    def submit_many(self, jobs: Iterable[Mapping[str, Any]]) -> list[Submitted | WorkerctlError]:
        """Queues many, each a dict of `submit`'s arguments (`{"file": "a.js", "args": ["1"]}`); many are under way
        at once. Returns in their order what became of each: the place of a refused one holds its error.
        """
        from ctl.prepare import prepare_all, submitted

        requests = prepare_all(self._session, jobs)
        values = self._session.call_many("submit", requests)
        return [value if isinstance(value, WorkerctlError) else submitted(value) for value in values]

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

    def logs(self, job: AnyJob, stream: str = "stdout", attempt: int | None = None) -> bytes:
        """All that the job wrote to `stream` so far in that attempt (the last one's unless told otherwise)."""
        from ctl.logs import pieces

        return b"".join(piece for _, piece in pieces(self.log_range, id_of(job), stream, attempt))

    def log_range(
        self, job: AnyJob, stream: str = "stdout", attempt: int | None = None, offset: int = 0, length: int = 262_144
    ) -> dict[str, Any]:
        """`{attempt, offset, size, eof, data, encoding}` of a range of output, at most 512 KiB."""
        fields: dict[str, Any] = {"job": id_of(job), "stream": stream, "offset": offset, "length": length}
        if attempt is not None:
            fields["attempt"] = attempt
        answer: dict[str, Any] = self._ask("logs", fields)
        return answer

    def artifacts(self, job: AnyJob, attempt: int | None = None) -> Artifacts:
        """The files that the attempt left in its output folder (the last attempt unless told otherwise), a list."""
        from ctl.artifacts import list_artifacts

        return list_artifacts(self._ask, id_of(job), attempt)

    def artifact(self, job: AnyJob, name: str | bytes, attempt: int | None = None) -> bytes:
        """The bytes of one of them; raises NotFound."""
        from ctl.artifacts import named

        return b"".join(named(self.artifacts(job, attempt), id_of(job), name).pieces())

    def save_artifacts(
        self, job: AnyJob, folder: str | os.PathLike[str], attempt: int | None = None, *, force: bool = False
    ) -> builtins.list[str]:
        """Writes all of them below `folder`, never outside of it; returns their paths.

        Raises InvalidRequest where a file is there already, unless `force`, and where a symbolic link is in the way.
        """
        from ctl.artifacts import save

        return save(self.artifacts(job, attempt), os.fspath(folder), force=force)

    def show(self, job: AnyJob) -> Job:
        """The job, whole; raises NotFound."""
        return Job(self._ask("show", {"job": id_of(job)}))

    def explain(self, job: AnyJob) -> dict[str, Any]:
        """`{job, state, sentences: [{says, change}]}`: why it does not run yet, or why it died; raises NotFound."""
        explanation: dict[str, Any] = self._ask("explain", {"job": id_of(job)})
        return explanation

    def result(self, job: AnyJob) -> Any:
        """The value that the job gave as its result, None if none."""
        return self.show(job).result

    def list(
        self,
        states: Iterable[str] = (),
        queue: str | None = None,
        *,
        limit: int | None = 50,
        before: int | None = None,
    ) -> list[Job]:
        """Jobs, newest first, without attempts and result; `limit=None` for all of them."""
        jobs: list[Job] = []
        while True:
            page = LARGEST_PAGE if limit is None else min(limit - len(jobs), LARGEST_PAGE)
            if page <= 0:
                return jobs
            fields: dict[str, Any] = {"states": [*states], "limit": page}
            if queue is not None:
                fields["queue"] = queue
            if before is not None:
                fields["before"] = before
            answer = self._ask("list", fields)
            jobs += map(Job, answer["jobs"])
            before = answer["next"]
            if before is None:
                return jobs

    def newest(self) -> int:
        """The id of your newest job; raises NotFound if you have none."""
        jobs = self.list(limit=1)
        if not jobs:
            raise NotFound("not_found", "you have no job yet: `workerctl submit FILE` makes one")
        return jobs[0].id

    def cancel(self, job: AnyJob, reason: str | None = None) -> str:
        """Cancels; returns the state when that is committed: `cancelled`, or `running` until its tree is gone.

        Raises WrongState for a job that is final already.
        """
        fields: dict[str, Any] = {"job": id_of(job)}
        if reason is not None:
            fields["reason"] = reason
        try:
            return str(self._ask("cancel", fields)["state"])
        except WrongState as error:
            if error.repeated and error.data.get("state") == CANCELLED:
                return CANCELLED
            raise

    def retry(self, job: AnyJob) -> str:
        """Queues the job again; returns its state. Raises WrongState unless it is completed, failed or cancelled.

        It runs once more, also when the answer was lost: what became of the job tells whether it was queued.
        """
        before = self.show(job)
        while True:
            try:
                return str(self._session.call("retry", {"job": id_of(job)}, repeat=False)["state"])
            except DaemonFailed as error:
                if error.code != "outcome_unknown":
                    raise
                now = self.show(job)
                if now.state not in FINAL_STATES or _ran_again(before, now):
                    return now.state

    def status(self) -> dict[str, Any]:
        """`{version, pid, uptime_s, state, jobs: {state: number}, workers: […], isolation: {…}}`."""
        status: dict[str, Any] = self._ask("status")
        return status

    def health(self) -> dict[str, Any]:
        """`{"status": "healthy"|"degraded", "reasons": […]}`."""
        health: dict[str, Any] = self._ask("health")
        return health

    def doctor(self) -> dict[str, Any]:
        """The daemon's checks of itself: `{checks: [{name, status: ok|warn|fail|skipped, found, remedy}]}`."""
        checks: dict[str, Any] = self._ask("doctor")
        return checks

    def stop(self) -> str:
        """Stops the daemon: running jobs may finish within its time-out. Returns `stopping`."""
        try:
            return str(self._session.call("stop", {}, insist=False)["state"])
        except NoDaemon as error:
            if error.repeated or error.code == "stopping":
                return "stopping"
            raise

    def _ask(self, op: str, fields: dict[str, Any] | None = None) -> Any:
        return self._session.call(op, fields or {})


def _ran_again(before: Job, now: Job) -> bool:
    return (before.attempt, before.finished_at) != (now.attempt, now.finished_at)


def sockets(chosen: str | None) -> list[str]:
    """Where the daemon may listen: `chosen`, else WORKER_SOCKET, else your own socket, else the system's."""
    only = chosen or os.environ.get("WORKER_SOCKET")
    if only:
        return [only]
    from supervisor.paths import socket_candidates

    return socket_candidates(os.environ)
