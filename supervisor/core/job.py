"""What a job is: the part that never changes after its submit."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from supervisor.core.limits import Limits
from supervisor.core.retry import RETRYABLE, Backoff

INLINE_BYTES: Final = 256 << 10
"""Content up to this size lies in the database; larger content in the spool."""
MAX_RESULT_BYTES: Final = 256 << 10
MAX_PROGRESS_BYTES: Final = 4 << 10
MAX_ARGS_ENV_BYTES: Final = 128 << 10
LARGEST_BATCH: Final = 100
"""So many leases a worker may have in its hands."""


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """One file that a job is given: where it lies in the job's folder, and what it holds.

    `kind` tells how the content named by `sha256` becomes files: itself, or a tar archive unpacked at `path`.
    """

    path: str
    sha256: str
    size: int
    mode: int = 0o644
    kind: Literal["file", "tar"] = "file"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What the code check noticed: the line (from 1), the rule's name, and its sentence. Advice, never a sandbox."""

    line: int
    rule: str
    message: str


class JobSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job as it was submitted and accepted, with every default resolved. Stored whole, as JSON.

    `main` is the script's path in the job's folder (None for handler types); `asked` names the limits that the
    submitter set himself; `network` and `isolation` are what was granted; `retry_on` are the reasons that are retried.
    """

    main: str | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    contents: tuple[Content, ...] = ()
    stdin: Content | None = None
    params: msgspec.Raw = msgspec.Raw(b"null")
    limits: Limits = Limits()
    asked: tuple[str, ...] = ()
    network: bool = False
    isolation: str = "auto"
    merge: bool = False
    findings: tuple[Finding, ...] = ()
    backoff: Backoff = Backoff()
    retry_on: tuple[str, ...] = RETRYABLE
    webhook: str | None = None


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a job says it is: 0 … 100, the name of a stage, a sentence."""

    percentage: float | None = None
    stage: str | None = None
    message: str | None = None
