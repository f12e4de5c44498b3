"""Runs a handler on one job: asks whether it wants it, executes, and makes an answer of what came of it.

Invariant: whatever people's code raises becomes an answer, with its traceback on stderr; only the end of the
process itself does not. Used by the runner in both modes and by the test kit.
"""

from __future__ import annotations

import json
import sys
import traceback
from dataclasses import dataclass
from typing import Final, Literal

from supervisor.runner.handler import Context, Job, JobWorker

MAX_RESULT_BYTES: Final = 256 << 10
LONGEST_SENTENCE: Final = 500

_encode: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Answer:
    """`result` is JSON; `message` says what was raised; `error` is the exception itself, for the test kit."""

    re: Literal["done", "raised", "declined"]
    result: bytes = b"null"
    message: str = ""
    error: BaseException | None = None


def perform(worker: JobWorker, job: Job, context: Context) -> Answer:
    """The answer of one job. Tracebacks are printed to stderr."""
    try:
        if not worker.can_process(job):
            return Answer("declined")
        value = worker.execute(job, context)
    except BaseException as error:  # also SystemExit: it ends the job, not the process of all jobs
        return raised(error)
    return _done(value)


def perform_once(found: type[JobWorker], job: Job, context: Context) -> Answer:
    """The whole life of a handler for one job: set up, asked, torn down."""
    try:
        instance = found()
        instance.setup()
    except BaseException as error:
        return raised(error, "setup: ")
    answer = perform(instance, job, context)
    try:
        instance.teardown()
    except BaseException as error:
        return raised(error, "teardown: ")
    return answer


def raised(error: BaseException, where: str = "") -> Answer:
    """The answer for an exception; prints its traceback without our own frames."""
    below = error.__traceback__.tb_next if error.__traceback__ is not None else None
    try:
        traceback.print_exception(type(error), error, below)
    except Exception as unprintable:
        print(f"the traceback cannot be printed: {unprintable!r}", file=sys.stderr)
    return Answer("raised", message=f"{where}{sentence(error)}", error=error)


def sentence(error: BaseException) -> str:
    """An exception in one line: its class and the first line of what it says."""
    kind = type(error)
    name = (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )
    try:
        said = str(error).strip().partition("\n")[0]
    except Exception:
        said = ""
    text = f"{name}: {said}" if said else name
    return text[:LONGEST_SENTENCE].encode(errors="replace").decode()


def _done(value: object) -> Answer:
    try:
        result = _encode(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        return _refused(
            f"its result is not JSON ({sentence(error)}): "
            "return text, numbers, True, False, None, and lists and dicts of them"
        )
    if len(result) > MAX_RESULT_BYTES:
        return _refused(
            f"its result has {len(result) >> 10} KiB as JSON, at most {MAX_RESULT_BYTES >> 10} KiB are kept: "
            "write it to a file and return its name"
        )
    return Answer("done", result)


def _refused(why: str) -> Answer:
    print(why, file=sys.stderr)
    return Answer("raised", message=why, error=ValueError(why))
