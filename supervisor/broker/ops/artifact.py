"""artifact: a range of one artifact's bytes."""

from __future__ import annotations

import base64
import os
from typing import Any

from supervisor.artifacts import open_artifact
from supervisor.broker.service import Caller, Service
from supervisor.core.errors import RequestError
from supervisor.store import attempt_of
from supervisor.wire.control import Artifact


async def artifact(service: Service, caller: Caller, request: Artifact) -> dict[str, Any]:
    """The bytes from `offset` on as base64, the file's size, and whether they reach its end."""
    service.check_job(caller, request.job)
    attempt = attempt_of(service.reader, request.job, request.attempt)
    descriptor = None
    if attempt is not None and attempt.state == "ended":
        descriptor = open_artifact(service.paths, request.job, attempt.number, request.index)
    if attempt is None or descriptor is None:
        which = f"attempt {request.attempt}" if attempt is None else f"attempt {attempt.number}"
        raise RequestError("not_found", f"{which} of job {request.job} left no artifact {request.index}")
    try:
        data = os.pread(descriptor, request.length, request.offset)
        size = os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
    return {
        "attempt": attempt.number,
        "index": request.index,
        "offset": request.offset,
        "size": size,
        "eof": request.offset + len(data) >= size,
        "data": base64.b64encode(data).decode(),
    }
