"""artifacts: the files that an attempt left in its output folder."""

from __future__ import annotations

import base64
from typing import Any, Final

import msgspec

from supervisor.artifacts import Kept, read_manifest
from supervisor.broker.service import Caller, Service
from supervisor.core.errors import RequestError
from supervisor.store import attempt_of, outputs_removed
from supervisor.wire.control import Artifacts

PAGE_BYTES: Final = 512 << 10


async def artifacts(service: Service, caller: Caller, request: Artifacts) -> dict[str, Any]:
    """Name, size and mode of each by its number, a page at a time, and whether the attempt has ended."""
    service.check_job(caller, request.job)
    attempt = attempt_of(service.reader, request.job, request.attempt)
    if attempt is None:
        if request.attempt is not None:
            raise RequestError("not_found", f"job {request.job} has no attempt {request.attempt}")
        return {"attempt": None, "ended": False, "artifacts": [], "next": None}
    ended = attempt.state == "ended"
    kept = read_manifest(service.paths, request.job, attempt.number) if ended else ()
    removed = ended and not kept and outputs_removed(service.reader, request.job, attempt.number)
    page: list[dict[str, Any]] = []
    bytes_left = PAGE_BYTES
    for index, one in enumerate(kept[request.after :], request.after + 1):
        shown = _shown(index, one)
        bytes_left -= len(msgspec.json.encode(shown))
        if bytes_left < 0 and page:
            return {"attempt": attempt.number, "ended": ended, "artifacts": page, "next": index - 1}
        page.append(shown)
    return {"attempt": attempt.number, "ended": ended, "artifacts": page, "next": None, "removed": removed}


def _shown(index: int, kept: Kept) -> dict[str, Any]:
    shown = {"index": index, "name": "", "size": kept.size, "mode": kept.mode}
    try:
        return shown | {"name": kept.name.decode()}
    except UnicodeDecodeError:
        escaped = kept.name.decode(errors="backslashreplace")
        return shown | {"name": escaped, "name_base64": base64.b64encode(kept.name).decode()}
