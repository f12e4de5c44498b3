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
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType
    from typing import Any, Self, Unpack

    from ctl.artifacts import Artifacts
    from ctl.follow import Event, Output
    from ctl.options import SubmitOptions

    AnyJob = int | Job | Submitted

LARGEST_PAGE = 250
"""Jobs asked for at once: so many fit into one line, whatever their messages."""
MOST_WAITED_FOR = 10_000
UPGRADE_S = 330.0
"""How long the answer to an upgrade may take: the new code is given five minutes to show that it is fit."""


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

    def delete(self, job: AnyJob) -> str:
        """Removes the job for good, with its output; returns the state that it was in.

        Raises WrongState for one that runs: cancel it first.
        """
        try:
            return str(self._ask("delete", {"job": id_of(job)})["state"])
        except NotFound as error:
            if error.repeated:
                return "deleted"
            raise

    def prune(
        self,
        states: Iterable[str] = (),
        queue: str | None = None,
        older_than: str | float | None = None,
        *,
        dry_run: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Removes the jobs that are so (finished ones, unless `states` says otherwise) and yields what went, as
        `{jobs: [{job, state}], outputs: {jobs, bytes}}`. With nothing chosen, what the daemon's retention says.
        """
        from ctl.submission import duration_s

        fields: dict[str, Any] = {"states": [*states], "dry_run": dry_run}
        if queue is not None:
            fields["queue"] = queue
        if older_than is not None:
            fields["older_than_s"] = duration_s("older_than", older_than)
        yield from self._session.stream("prune", lambda: fields)

    def pause(self, *queues: str) -> dict[str, Any]:
        """Lets nothing more of these queues start, or (none named) of any: `{changed, paused}`."""
        paused: dict[str, Any] = self._ask("pause", {"queues": [*queues]})
        return paused

    def resume(self, *queues: str) -> dict[str, Any]:
        """Lets jobs of these queues start again, or (none named) of all: `{changed, paused}`."""
        paused: dict[str, Any] = self._ask("resume", {"queues": [*queues]})
        return paused

    def backup(self, file: str | os.PathLike[str], *, force: bool = False) -> int:
        """Writes a copy of the queue to `file`, which appears whole or not at all; returns its size in bytes.

        Raises InvalidRequest where it is there already, unless `force`.
        """
        from ctl.backup import save_backup

        return save_backup(self._session, os.fspath(file), force=force)

    def status(self) -> dict[str, Any]:
        """`{version, pid, uptime_s, state, jobs: {state: number}, workers: […], isolation: {…}}`."""
        status: dict[str, Any] = self._ask("status")
        return status

    def workers(self) -> builtins.list[dict[str, Any]]:
        """Each worker slot: `{name, pool, state, pid, job, last_beat_s, done, failed, busy_s, restarts, reasons, …}`."""
        workers: builtins.list[dict[str, Any]] = self._ask("workers")["workers"]
        return workers

    def stats(self) -> dict[str, Any]:
        """`{jobs, queues, pools, finished, times, failures}`: totals, throughput, times, causes of failure."""
        stats: dict[str, Any] = self._ask("stats")
        return stats

    def events(
        self, *, job: AnyJob | None = None, after: int | None = None, limit: int | None = None, follow: bool = False
    ) -> Iterator[Event]:
        """What happened to jobs, workers and the daemon, oldest first: after a cursor, or the newest `limit`.

        `follow` goes on without end, through restarts; `limit` is then how many old ones it begins with.
        """
        from ctl import events

        which = events.follow if follow else events.past
        return which(self._session, None if job is None else id_of(job), after, limit)

    def health(self) -> dict[str, Any]:
        """`{"status": "healthy"|"degraded", "reasons": […]}`."""
        health: dict[str, Any] = self._ask("health")
        return health

    def token(self, role: str = "write") -> dict[str, Any]:
        """The bearer token of HTTP for a role (`read`, `write`), or the key of webhooks; with the gateway's address."""
        token: dict[str, Any] = self._ask("token", {"role": role})
        return token

    def doctor(self) -> dict[str, Any]:
        """The daemon's checks of itself: `{checks: [{name, status: ok|warn|fail|skipped, found, remedy}]}`."""
        checks: dict[str, Any] = self._ask("doctor")
        return checks

    def scale(self, pool: str, replicas: int) -> dict[str, Any]:
        """Gives a pool so many workers: `{pool, before, replicas}`. Raises InvalidRequest for a pool there is not."""
        scaled: dict[str, Any] = self._ask("scale", {"pool": pool, "replicas": replicas})
        return scaled

    def restart(self, pool: str | None = None) -> builtins.list[str]:
        """Begins to replace the workers of a pool, or of all, one at a time; returns their names."""
        names: builtins.list[str] = self._ask("restart", {} if pool is None else {"pool": pool})["workers"]
        return names

    def reload(self) -> dict[str, Any]:
        """Has the settings read again: `{changed, needs_restart, pools: {added, removed, renewed}, replicas, workers}`.

        Raises InvalidRequest (`bad_settings`) if they are wrong; then nothing has changed.
        """
        done: dict[str, Any] = self._ask("reload")
        return done

    def upgrade(self, python: str | None = None) -> dict[str, Any]:
        """Has the daemon go over to the code of the interpreter `python` (default: of its own), in place:
        `{before, version}`. Broker and workers follow by themselves; `status()["upgrade"]` is None when all have.

        Raises NotAllowed (`preflight_failed`) if the new code is not fit; then nothing has changed.
        """
        fields = {} if python is None else {"python": python}
        done: dict[str, Any] = self._session.call("upgrade", fields, repeat=False, insist=False, answer_s=UPGRADE_S)
        return done

    def drain(self, *, on: bool = True) -> dict[str, Any]:
        """Has no more jobs started, or (`on=False`) started again: `{state, running}`. Waits for nothing."""
        drained: dict[str, Any] = self._ask("drain", {"on": on})
        return drained

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
