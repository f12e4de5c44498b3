"""A client's methods for jobs that are there: what they are, what they left, and their end. Each is one question.

Raises WorkerctlErrors. It neither submits nor waits.
"""

from __future__ import annotations

import os

from ctl.errors import DaemonFailed, NotFound, WrongState
from ctl.job import Job, Submitted, id_of
from ctl.session import Asking
from supervisor.core.names import CANCELLED, FINAL_STATES

TYPE_CHECKING = False
if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterable, Iterator
    from typing import Any

    from ctl.artifacts import Artifacts

    AnyJob = int | Job | Submitted

LARGEST_PAGE = 250
"""Jobs asked for at once: so many fit into one line, whatever their messages."""


class Jobs(Asking):
    """Jobs by their ids."""

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
        jobs = self._ask("list", {"mine": True, "limit": 1})["jobs"]
        if not jobs:
            raise NotFound("not_found", "you have no job yet: `workerctl submit FILE` makes one")
        return int(jobs[0]["id"])

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
                if before.state in FINAL_STATES and (now.state not in FINAL_STATES or _ran_again(before, now)):
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


def _ran_again(before: Job, now: Job) -> bool:
    return (before.attempt, before.finished_at) != (now.attempt, now.finished_at)
