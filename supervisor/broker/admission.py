"""What a submit must fulfil: words, paths, contents, time, network, isolation. Each check raises RequestError."""

from __future__ import annotations

import hashlib
from datetime import datetime
from functools import lru_cache
from typing import Final

import msgspec

from supervisor.config import HttpSettings
from supervisor.core.errors import RequestError
from supervisor.core.job import INLINE_BYTES, MAX_ARGS_ENV_BYTES, Content
from supervisor.core.retry import Backoff
from supervisor.core.webhooks import fault_of, is_allowed
from supervisor.runtime.classify import SCRIPT_TYPES, script_type
from supervisor.spool import Spool
from supervisor.wire.control import JobRequest

MAX_PARAMS_BYTES: Final = 256 << 10
HEAD_BYTES: Final = 256
REMEMBERED_CHARACTERS: Final = 4096
"""Scripts up to this size are looked at once while they keep coming."""
MAX_DUE_US: Final = 253_402_300_799_000_000
RESERVED_ENV: Final = frozenset({"NODE_CHANNEL_FD", "WORKER_SUPERVISOR_MARK"})


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """What is to run. `inline` holds the contents that came with the request, by sha256."""

    name: str
    type: str
    main: str | None
    contents: tuple[Content, ...]
    stdin: Content | None
    inline: dict[str, bytes]


def script_of(request: JobRequest, spool: Spool) -> Script:
    """The script of a submit, with its type decided."""
    source = request.source
    if (
        source is not None
        and len(source) <= REMEMBERED_CHARACTERS
        and not request.contents
        and request.main is request.stdin is request.stdin_sha256 is None
    ):
        return _script_of_source(request.name, request.type, source, spool)
    return _script_of(request, spool)


@lru_cache(maxsize=64)
def _script_of_source(name: str | None, job_type: str | None, source: str, spool: Spool) -> Script:
    """A script that is nothing but its text: many jobs have the same one, one after the other."""
    return _script_of(JobRequest(request_id="", name=name, type=job_type, source=source), spool)


def _script_of(request: JobRequest, spool: Spool) -> Script:
    inline: dict[str, bytes] = {}
    contents = tuple(_put_contents(request, spool))
    main = request.main
    head = b""
    if request.source is not None:
        head = request.source.encode()
        if main is None:
            main = _file_name(request.name)
        _check_path(main, "main")
        contents = (_inline(main, head, inline, executable=True), *contents)
    elif main is not None:
        _check_path(main, "main")
        head = _head_of(main, contents, spool)
    _check_paths(contents)
    if main is not None and not any(_may_hold(content, main) for content in contents):
        raise _bad(f"`main`: {main!r} is none of the `contents`")
    name = request.name or (main.rpartition("/")[2] if main else None)
    job_type = request.type or script_type(main or "", head)
    if job_type is None:
        raise _bad(
            f"nothing tells how to run {name!r}: name it .js, .mjs, .cjs, .ts, .py or .sh, begin it with #!, "
            f"or give `type` ({', '.join(sorted(SCRIPT_TYPES))})"
        )
    if job_type in SCRIPT_TYPES and main is None:
        raise _bad("a script needs `source`, or `contents` that were put and `main`")
    if job_type not in SCRIPT_TYPES:
        _check_typed(request, job_type)
    stdin = _stdin(request, spool, inline)
    return Script(name=name or job_type, type=job_type, main=main, contents=contents, stdin=stdin, inline=inline)


def _check_typed(request: JobRequest, job_type: str) -> None:
    """A handler is given `params`: whatever else a script is given would be dropped without a word."""
    given = {
        "a script": request.source is not None or bool(request.contents) or request.main is not None,
        "`args`": bool(request.args),
        "`env`": bool(request.env),
        "`stdin`": request.stdin is not None or request.stdin_sha256 is not None,
    }
    for what, is_there in given.items():
        if is_there:
            raise _bad(
                f"`type`: {job_type!r} is for a handler, which takes `params` and not {what}; "
                f"the types of scripts are {', '.join(sorted(SCRIPT_TYPES))}"
            )


def check_words(request: JobRequest) -> None:
    """Arguments and environment must be such that a process can be given them."""
    for argument in request.args:
        if "\0" in argument:
            raise _bad("`args`: an argument may not contain a NUL character")
    for key, value in request.env.items():
        if not key or "=" in key or "\0" in key or "\0" in value:
            raise _bad(f"`env`: {key!r} is no usable variable: names have no '=' and are not empty, no NUL anywhere")
        if key.startswith("JOB_") or key in RESERVED_ENV:
            raise _bad(f"`env`: {key} is set by the daemon; names beginning with JOB_ are its own")
    if request.args or request.env:
        size = sum(len(word.encode()) + 1 for word in (*request.args, *request.env, *request.env.values()))
        if size > MAX_ARGS_ENV_BYTES:
            raise _bad(f"`args` and `env` have {size} bytes together; the maximum is {MAX_ARGS_ENV_BYTES}")
    if len(bytes(request.params)) > MAX_PARAMS_BYTES:
        raise _bad(f"`params` may have {MAX_PARAMS_BYTES >> 10} KiB at most")


def webhook_of(request: JobRequest, http: HttpSettings) -> str | None:
    """The job's own webhook, if the settings allow it."""
    url = request.webhook
    if url is None:
        return None
    if (fault := fault_of(url)) is not None:
        raise _bad(f"`webhook`: {url!r} is no address: {fault}")
    if http.listen is None:
        raise RequestError("unsupported", "webhooks are sent by the HTTP gateway, which is off: set http.listen")
    if not is_allowed(url, http.webhook_urls):
        below = ", ".join(http.webhook_urls) or "none at all"
        raise RequestError(
            "not_allowed", f"a webhook to {url} is not allowed; the setting http.webhook_urls allows below {below}"
        )
    return url


def check_backoff(backoff: Backoff) -> None:
    """The numbers of a backoff must be able to make a delay."""
    if not (0 <= backoff.base_s <= 1e9 and 1 <= backoff.factor <= 1000 and 0 <= backoff.cap_s <= 1e9):
        raise _bad("`backoff`: base_s and cap_s are 0 … 1e9 seconds, factor is 1 … 1000")


def due_us(request: JobRequest, now_us: int) -> int | None:
    """When the job is due, in microseconds of the wall clock; None for now."""
    if request.delay_s is not None and request.due_at is not None:
        raise _bad("`delay_s` and `due_at` exclude each other")
    if request.delay_s is not None:
        return now_us + int(request.delay_s * 1e6) if request.delay_s > 0 else None
    if request.due_at is None:
        return None
    try:
        moment = datetime.fromisoformat(request.due_at)
        due = int(moment.timestamp() * 1e6)
    except (ValueError, OverflowError, OSError):
        raise _bad(f"`due_at`: {request.due_at!r} is no ISO 8601 date and time such as 2026-01-02T03:04:05Z") from None
    if not 0 <= due <= MAX_DUE_US:
        raise _bad(f"`due_at`: {request.due_at!r} is out of range")
    return due if due > now_us else None


def _head_of(main: str, contents: tuple[Content, ...], spool: Spool) -> bytes:
    for content in contents:
        if content.kind == "file" and content.path == main:
            return spool.head(content.sha256, HEAD_BYTES)
    return b""


def _bad(message: str) -> RequestError:
    return RequestError("bad_request", message)


def _file_name(name: str | None) -> str:
    """What the main file is called in the job's folder: its own name, without the folder it came from."""
    plain = (name or "script").replace("\0", "").rpartition("/")[2]
    return plain if plain not in ("", ".", "..") and len(plain.encode()) <= 255 else "script"


def _inline(path: str, data: bytes, inline: dict[str, bytes], *, executable: bool = False) -> Content:
    if len(data) > INLINE_BYTES:
        raise _bad(f"inline content may have {INLINE_BYTES >> 10} KiB at most; `put` larger ones")
    sha256 = hashlib.sha256(data).hexdigest()
    inline[sha256] = data
    return Content(path=path, sha256=sha256, size=len(data), mode=0o755 if executable else 0o644)


def _put_contents(request: JobRequest, spool: Spool) -> list[Content]:
    contents = []
    for ref in request.contents:
        size = spool.size(ref.sha256)
        if size is None:
            raise RequestError("unknown_source", f"no content {ref.sha256} has been put", {"sha256": ref.sha256})
        contents.append(Content(path=ref.path, sha256=ref.sha256, size=size, mode=ref.mode, kind=ref.kind))
    return contents


def _stdin(request: JobRequest, spool: Spool, inline: dict[str, bytes]) -> Content | None:
    if request.stdin is not None and request.stdin_sha256 is not None:
        raise _bad("`stdin` and `stdin_sha256` exclude each other")
    if request.stdin is not None:
        return _inline("stdin", request.stdin.encode(), inline)
    if request.stdin_sha256 is None:
        return None
    size = spool.size(request.stdin_sha256)
    if size is None:
        raise RequestError("unknown_source", f"no content {request.stdin_sha256} has been put")
    return Content(path="stdin", sha256=request.stdin_sha256, size=size)


def _may_hold(content: Content, main: str) -> bool:
    """Whether `main` is this content, or may be inside of this archive."""
    if content.kind == "file":
        return content.path == main
    return content.path == "." or main.startswith(f"{content.path}/")


def _check_paths(contents: tuple[Content, ...]) -> None:
    seen: set[str] = set()
    for content in contents:
        if content.kind == "tar" and content.path == ".":
            continue
        _check_path(content.path, "contents")
        if content.path in seen:
            raise _bad(f"`contents`: {content.path!r} is there twice")
        seen.add(content.path)


def _check_path(path: str, field: str) -> None:
    parts = path.split("/")
    if "\0" in path or any(part in ("", ".", "..") or len(part.encode()) > 255 for part in parts):
        raise _bad(f"`{field}`: {path!r} must be a plain relative path inside the job's folder, without . or ..")
