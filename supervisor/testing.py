"""A test kit for handlers: runs one on a job in this very process, with no daemon, and says all that came of it.

    ran = run_handler(Resize, params={"width": 80})
    assert ran.result == {"height": 60} and ran.progress[-1].percentage == 100

Invariant: the job passes the same code as in a runner: params and result are JSON, declining and raising mean the same.
Never enforces limits: there is no process of its own to limit.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from supervisor.runner.handler import Context, Job, JobWorker
from supervisor.runner.loading import types_of
from supervisor.runner.performing import perform, perform_once

__all__ = ["Progress", "Ran", "run_handler"]


@dataclass(frozen=True)
class Progress:
    """One call of `context.progress`."""

    percentage: float | None = None
    stage: str | None = None
    message: str | None = None


@dataclass
class Ran:
    """What came of it. `error` is what was raised, `message` how the job would say it; `logs` are lines of `context.log`
    such as `INFO done`; `stdout` and `stderr` are what Python printed, a traceback included."""

    result: Any = None
    declined: bool = False
    error: BaseException | None = None
    message: str = ""
    progress: list[Progress] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    stdout: str = ""
    stderr: str = ""

    @property
    def ok(self) -> bool:
        """Whether the job would be completed."""
        return self.error is None and not self.declined


Cancelled = bool | Callable[[Ran], bool]


def run_handler(
    handler: type[JobWorker] | JobWorker,
    *,
    params: Any = None,
    type: str | None = None,
    id: int = 1,
    attempt: int = 1,
    queue: str = "default",
    cancelled: Cancelled = False,
) -> Ran:
    """Runs `handler` on one job. A class is set up before and torn down after; an instance is as the caller made it.

    `type` may be left out where the class names one alone. `cancelled` is what `context.cancelled` says: a function
    is asked each time, with what is known so far: `lambda ran: len(ran.progress) >= 3`.
    """
    ran = Ran()
    job = Job(id, _type_of(handler, type), json.loads(json.dumps(params, allow_nan=False)), attempt, queue)
    context = Context(
        lambda percentage, stage, message: ran.progress.append(Progress(percentage, stage, message)),
        lambda: cancelled(ran) if callable(cancelled) else cancelled,
        _log(ran.logs),
    )
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        answer = perform_once(handler, job, context) if isinstance(handler, _class) else perform(handler, job, context)
    ran.stdout, ran.stderr = out.getvalue(), err.getvalue()
    ran.declined, ran.error, ran.message = answer.re == "declined", answer.error, answer.message
    ran.result = json.loads(answer.result)
    return ran


_class = type
"""The built-in, where `type` is a job's."""


def _type_of(handler: type[JobWorker] | JobWorker, asked: str | None) -> str:
    found = handler if isinstance(handler, _class) else handler.__class__
    types = types_of(found)
    if asked is None and len(types) == 1:
        return types[0]
    if asked is None:
        raise ValueError(f"say the type of the job: {found.__name__} takes {', '.join(types) or 'none by itself'}")
    return asked


class _Kept(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(f"{record.levelname} {record.getMessage()}")


def _log(lines: list[str]) -> logging.Logger:
    log = logging.Logger("supervisor.job")
    log.addHandler(_Kept(lines))
    return log
