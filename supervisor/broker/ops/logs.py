"""logs: a range of an attempt's output."""

from __future__ import annotations

import os
from typing import Any

from supervisor.broker.chunk import as_chunk
from supervisor.broker.service import Caller, Service
from supervisor.core.errors import RequestError
from supervisor.spool import open_output
from supervisor.store import attempt_of, outputs_removed
from supervisor.wire.control import Logs


async def logs(service: Service, caller: Caller, request: Logs) -> dict[str, Any]:
    """The bytes from `offset` on, the stream's size, whether that is all there will be, whether retention has removed it."""
    service.check_job(caller, request.job)
    attempt = attempt_of(service.reader, request.job, request.attempt)
    if attempt is None:
        if request.attempt is not None:
            raise RequestError("not_found", f"job {request.job} has no attempt {request.attempt}")
        return {"attempt": None, "offset": 0, "size": 0, "eof": False, "data": "", "encoding": "utf-8"}
    ended = attempt.state == "ended"
    size, data = 0, b""
    descriptor = open_output(service.paths, request.job, attempt.number, request.stream)
    if descriptor is not None:
        try:
            data = os.pread(descriptor, request.length, request.offset)
            size = os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
    removed = ended and descriptor is None and outputs_removed(service.reader, request.job, attempt.number)
    more = not ended or request.offset + len(data) < size
    chunk = as_chunk(request.offset, data, more_may_come=more)
    if data and not chunk.length:
        chunk = as_chunk(request.offset, data, more_may_come=False)
    return {
        "attempt": attempt.number,
        "offset": chunk.offset,
        "size": size,
        "eof": ended and chunk.end >= size,
        "data": chunk.data,
        "encoding": chunk.encoding,
        "removed": removed,
    }
