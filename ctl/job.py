"""What the daemon says of a job, as attributes. Plain data: nothing here talks to the daemon."""

from __future__ import annotations

from supervisor.core.names import COMPLETED, FINAL_STATES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Record:
    """Attributes from a JSON object; `raw` is the object whole, with fields that this release does not know."""

    raw: dict[str, Any]

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw
        for name in self.__class__.__annotations__:
            setattr(self, name, raw.get(name))

    def __repr__(self) -> str:
        return f"<{self.__class__.__name__} {self.raw!r}>"


class Attempt(_Record):
    """One start of a job. Times are RFC 3339 UTC; seconds of wall clock and CPU; bytes."""

    number: int
    worker: str | None
    isolation: str | None
    reason: str | None
    exit_code: int | None
    signal: str | None
    evidence: str | None
    started_at: str | None
    finished_at: str | None
    wall_s: float | None
    cpu_s: float | None
    peak_memory_bytes: int | None
    stdout_bytes: int | None
    stderr_bytes: int | None
    leftover_killed: int | None
    message: str | None
    artifacts: int | None


class Job(_Record):
    """A job. `reason message exit_code signal` are its last ended attempt's, None before. Times are RFC 3339 UTC.

    A job of a list has neither attempts nor result.
    """

    id: int
    name: str | None
    type: str | None
    queue: str
    priority: int
    state: str
    reason: str | None
    message: str | None
    exit_code: int | None
    signal: str | None
    attempt: int
    retries: int
    submitted_at: str
    due_at: str | None
    started_at: str | None
    finished_at: str | None
    waiting_for: list[int]
    unique_key: str | None
    limits: dict[str, Any]
    progress: dict[str, Any] | None
    result: Any
    findings: list[dict[str, Any]]
    attempts: list[Attempt]

    def __init__(self, raw: dict[str, Any]) -> None:
        super().__init__(raw)
        self.waiting_for = raw.get("waiting_for") or []
        self.limits = raw.get("limits") or {}
        self.findings = raw.get("findings") or []
        self.attempts = [Attempt(attempt) for attempt in raw.get("attempts") or ()]

    @property
    def ok(self) -> bool:
        """Whether it completed."""
        return self.state == COMPLETED

    @property
    def final(self) -> bool:
        """Whether its state cannot change by itself any more."""
        return self.state in FINAL_STATES


class Submitted:
    """A submit that was acknowledged: it is durable. `created` is False if it was stored by an earlier request.

    `existing`: it is another job, which has the unique key. `findings` are what the code check noticed: `{"line": 3, "rule": "eval", "message": "…"}` each.
    """

    def __init__(
        self,
        id: int,
        created: bool,
        warnings: list[str],
        findings: list[dict[str, Any]] | None = None,
        *,
        existing: bool = False,
    ) -> None:
        self.id = id
        self.created = created
        self.existing = existing
        self.warnings = warnings
        self.findings = findings or []

    def __repr__(self) -> str:
        return f"<Submitted job {self.id}>"


def id_of(job: int | Job | Submitted) -> int:
    """The id of what a caller may give for a job."""
    return job if isinstance(job, int) else job.id
