"""put: large content, piece by piece, under the name that its hash gives it."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable
from functools import partial
from typing import Any

from supervisor.broker.service import Caller, Service
from supervisor.core.errors import RequestError
from supervisor.core.shortage import short_of
from supervisor.core.units import format_size
from supervisor.spool import BadContent
from supervisor.wire.control import Put


async def put(service: Service, _: Caller, request: Put) -> dict[str, Any]:
    """The offset expected next, and whether the content is whole and durable."""
    largest = service.settings.max_source_bytes
    if request.size > largest:
        raise RequestError(
            "above_maximum",
            f"{format_size(request.size)} is above the maximum of {format_size(largest)} (setting max_source)",
            {"maximum": largest},
        )
    spool = service.spool
    known = spool.size(request.sha256)
    if known is not None:
        if known != request.size:
            raise RequestError("bad_request", f"`size`: the content with that sha256 has {known} bytes")
        spool.touch(request.sha256)
        # Another client may have completed it just now: its name is durable only after this.
        await _durably(spool.sync_names)
        return {"offset": known, "complete": True}
    expected = _append(service, request)
    if expected < request.size:
        return {"offset": expected, "complete": False}
    try:
        await _durably(partial(spool.complete, request.sha256))
    except BadContent:
        raise RequestError("bad_request", "the pieces are not the content with that sha256; put it again") from None
    except FileNotFoundError:
        if spool.size(request.sha256) is None:
            raise
    return {"offset": request.size, "complete": True}


async def _durably(work: Callable[[], None]) -> None:
    """Waits for the disk in a thread. What a disk refuses only when it is synced is as if it had not been put."""
    try:
        await asyncio.to_thread(work)
    except FileNotFoundError:
        raise
    except OSError as error:
        if short_of(error.errno) is not None:
            raise
        raise _not_stored(error) from None


def _not_stored(error: OSError) -> RequestError:
    return RequestError("storage_full", f"the content could not be stored: {error.strerror}")


def _append(service: Service, request: Put) -> int:
    try:
        data = base64.b64decode(request.data, validate=True)
    except (binascii.Error, ValueError):
        raise RequestError("bad_request", "`data` is not base64") from None
    if request.offset + len(data) > request.size:
        service.spool.forget(request.sha256)
        raise RequestError("bad_request", "the piece goes past `size`; put the content again from offset 0")
    try:
        return service.spool.append(request.sha256, request.offset, data)
    except OSError as error:
        service.spool.forget(request.sha256)
        raise _not_stored(error) from None
