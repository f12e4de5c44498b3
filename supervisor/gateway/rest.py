"""The operations of HTTP, each a question to the broker or two. Nothing is decided here that the broker decides."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from supervisor.core.errors import RequestError
from supervisor.core.names import CANCELLED
from supervisor.gateway import asked, submission
from supervisor.gateway.front import ROLE
from supervisor.gateway.link import Link
from supervisor.gateway.meter import Meter
from supervisor.gateway.records import AttemptQuery, CancelQuery, ListQuery, LogsQuery, Nothing, Options
from supervisor.gateway.scrape import scrape

JSON: Final = "application/json"
SOURCE_BYTES: Final = 256 << 10
"""So large a script goes with its submit; a larger one is put first."""
PIECE_BYTES: Final = 512 << 10
BODIES_AT_ONCE: Final = 16
"""So many large submits are read and decoded at once: their scripts are in memory. Small ones wait for none of them."""
_INTERNAL_ROUTE: Final = "/artifacts/"


def as_json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A response of JSON."""
    return Response(msgspec.json.encode(value), status, headers, JSON)


class Rest:
    """The handlers; `link` is the broker."""

    def __init__(self, link: Link, meter: Meter) -> None:
        self._link = link
        self._meter = meter
        self._bodies = asyncio.Semaphore(BODIES_AT_ONCE)

    # Jobs

    async def submit(self, request: Request) -> Response:
        """201 with the job that was made, 200 with the one that was there."""
        async with nullcontext() if asked.is_small(request) else self._bodies:
            options, code = await asked.new_job_of(request)
            asked.query_of(request, Nothing)
            answer = await self._submit(request, options, code)
        job = await self._link.ask("show", {"job": answer["job"]})
        known = {"created": answer["created"], "warnings": answer["warnings"]}
        return as_json({**job, **known}, 201 if answer["created"] else 200, {"Location": f"/jobs/{answer['job']}"})

    async def _submit(self, request: Request, options: Options, code: bytes | None) -> Any:
        submission.check_script(options, code)
        fields = submission.fields_of(options, code)
        # The same id again is the same job: a client that names one may repeat, and we may in any case.
        fields["request_id"] = options.request_id or request.headers.get("idempotency-key") or str(uuid.uuid4())
        if code is not None:
            fields |= await self._script(options, code, fields.get("type"))
        return await self._link.ask("submit", fields)

    async def _script(self, options: Options, code: bytes, kind: str | None) -> dict[str, Any]:
        name = submission.file_name(options, kind)
        if len(code) <= SOURCE_BYTES:
            try:
                return {"source": code.decode(), "name": name}
            except UnicodeDecodeError:
                pass
        sha256 = await self._put(code)
        path = name.rpartition("/")[2] or "script"
        return {"contents": [{"sha256": sha256, "path": path, "mode": 0o755}], "main": path, "name": name}

    async def _put(self, content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        put = {"sha256": sha256, "size": len(content)}
        at = await self._link.ask("put", put)
        while not at["complete"]:
            piece = content[at["offset"] : at["offset"] + PIECE_BYTES]
            data = base64.b64encode(piece).decode()
            at = await self._link.ask("put", {**put, "offset": at["offset"], "data": data})
        return sha256

    async def page(self, request: Request) -> Response:
        """A page of jobs."""
        query = asked.query_of(request, ListQuery)
        fields = {name: getattr(query, name) for name in ("queue", "type", "name", "before", "limit")}
        return as_json(await self._link.ask("list", {**fields, "states": query.state}))

    async def show(self, request: Request) -> Response:
        """A job, whole."""
        asked.query_of(request, Nothing)
        return as_json(await self._link.ask("show", {"job": asked.job_of(request)}))

    async def result(self, request: Request) -> Response:
        """What the job gave as its result, as JSON; null if nothing."""
        asked.query_of(request, Nothing)
        return as_json((await self._link.ask("show", {"job": asked.job_of(request)}))["result"])

    async def explain(self, request: Request) -> Response:
        """Why the job does not run yet, or why it died."""
        asked.query_of(request, Nothing)
        return as_json(await self._link.ask("explain", {"job": asked.job_of(request)}))

    async def cancel(self, request: Request) -> Response:
        """The job, once its cancel is committed."""
        job, query = asked.job_of(request), asked.query_of(request, CancelQuery)
        try:
            await self._link.ask("cancel", {"job": job, "reason": query.reason})
        except RequestError as error:
            # Of a cancel that was repeated because its answer was lost. A job that was cancelled before says the same.
            if error.code != "wrong_state" or (error.data or {}).get("state") != CANCELLED:
                raise
        return as_json(await self._link.ask("show", {"job": job}))

    async def retry(self, request: Request) -> Response:
        """The job, queued again."""
        asked.query_of(request, Nothing)
        job = asked.job_of(request)
        await self._link.ask("retry", {"job": job}, repeat=False)
        return as_json(await self._link.ask("show", {"job": job}))

    # What jobs leave

    async def logs(self, request: Request) -> Response:
        """The raw bytes of a stream of an attempt, as far as there are any now."""
        job, query = asked.job_of(request), asked.query_of(request, LogsQuery)
        fields = {"job": job, "stream": query.stream, "attempt": query.attempt}

        async def piece(offset: int, length: int) -> dict[str, Any]:
            answer: dict[str, Any] = await self._link.ask("logs", {**fields, "offset": offset, "length": length})
            return answer

        first = await piece(query.offset, PIECE_BYTES if query.length is None else min(query.length, PIECE_BYTES))
        # What comes later is not a part of this answer, nor of another attempt.
        fields["attempt"] = first["attempt"]
        # The stream's end is not always in the first piece, nor in what was asked for.
        ended = first["eof"] or (await piece(first["size"], 0))["eof"]
        end = first["size"] if query.length is None else min(first["size"], query.offset + query.length)
        headers = {
            "X-Attempt": str(first["attempt"] or 0),
            "X-Stream-Size": str(first["size"]),
            "X-Stream-Ended": "true" if ended else "false",
            "Content-Length": str(max(0, end - query.offset)),
        }
        return StreamingResponse(
            _pieces(piece, first, query.offset, end), headers=headers, media_type="text/plain; charset=utf-8"
        )

    async def artifacts(self, request: Request) -> Response:
        """The files that an attempt left, all of them."""
        query = asked.query_of(request, AttemptQuery)
        first, kept = await self._artifacts(asked.job_of(request), query.attempt)
        return as_json({"attempt": first["attempt"], "ended": first["ended"], "artifacts": kept})

    async def _artifacts(self, job: int, attempt: int | None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        page = first = await self._link.ask("artifacts", {"job": job, "attempt": attempt})
        kept = list(page["artifacts"])
        while page["next"] is not None:
            page = await self._link.ask("artifacts", {"job": job, "attempt": first["attempt"], "after": page["next"]})
            kept += page["artifacts"]
        return first, kept

    async def artifact(self, request: Request) -> Response:
        """The bytes of one file, by its name."""
        job, query = asked.job_of(request), asked.query_of(request, AttemptQuery)
        # A name is bytes: what is percent-encoded in the path, and no text that was made of it.
        name = unquote_to_bytes(
            request.scope["raw_path"].decode("latin-1").partition("?")[0].partition(_INTERNAL_ROUTE)[2]
        )
        first, kept = await self._artifacts(job, query.attempt)
        index = next((one["index"] for one in kept if _name_of(one) == name), None)
        if index is None:
            raise RequestError("not_found", f"job {job} left no artifact {name.decode(errors='backslashreplace')!r}")

        async def piece(offset: int, length: int) -> dict[str, Any]:
            fields = {"job": job, "index": index, "attempt": first["attempt"], "offset": offset, "length": length}
            answer: dict[str, Any] = await self._link.ask("artifact", fields)
            return answer | {"encoding": "base64"}

        head = await piece(0, PIECE_BYTES)
        return StreamingResponse(
            _pieces(piece, head, 0, head["size"]),
            headers={
                "Content-Length": str(head["size"]),
                "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name.rpartition(b'/')[2], safe='')}",
            },
            media_type="application/octet-stream",
        )

    # The daemon

    async def token(self, request: Request) -> Response:
        """What the token of this request may do."""
        asked.query_of(request, Nothing)
        return as_json({"role": request.scope[ROLE]})

    async def stats(self, request: Request) -> Response:
        """How much there is, how fast it goes, and why it fails."""
        asked.query_of(request, Nothing)
        return as_json(await self._link.ask("stats"))

    async def status(self, request: Request) -> Response:
        """The daemon at a glance."""
        asked.query_of(request, Nothing)
        return as_json(await self._link.ask("status"))

    async def workers(self, request: Request) -> Response:
        """Each worker, what it does and has done."""
        asked.query_of(request, Nothing)
        return as_json(await self._link.ask("workers"))

    async def queues(self, request: Request) -> Response:
        """Each queue, and how many jobs are in it."""
        asked.query_of(request, Nothing)
        return as_json({"queues": (await self._link.ask("status"))["queues"]})

    async def metrics(self, request: Request) -> Response:
        """For Prometheus."""
        text, media_type = await scrape(self._link, self._meter, request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": media_type})

    async def health(self, request: Request) -> Response:
        """200 while the daemon answers, also degraded; 503 while it does not, or is stopping."""
        report = await self._report()
        well = report["status"] != "unreachable" and report["state"] != "stopping"
        return as_json(report, 200 if well else 503)

    async def ready(self, request: Request) -> Response:
        """200 while jobs are taken and started; 503 while they are not."""
        report = await self._report()
        working = any(pool["workers"].get(state) for pool in report["pools"] for state in ("idle", "busy"))
        return as_json(report, 200 if report["state"] == "running" and working else 503)

    async def _report(self) -> dict[str, Any]:
        try:
            health: dict[str, Any] = await self._link.ask("health")
        except RequestError as error:
            return {"status": "unreachable", "reasons": [error.message], "state": None, "pools": []}
        return health


def _name_of(artifact: dict[str, Any]) -> bytes:
    if "name_base64" in artifact:
        return base64.b64decode(artifact["name_base64"])
    return str(artifact["name"]).encode()


def _bytes_of(piece: dict[str, Any]) -> bytes:
    return base64.b64decode(piece["data"]) if piece["encoding"] == "base64" else str(piece["data"]).encode()


async def _pieces(ask: Callable[[int, int], Any], first: dict[str, Any], offset: int, end: int) -> AsyncIterator[bytes]:
    """The bytes up to `end`, asked for as they are sent. What vanishes meanwhile cuts the answer off."""
    piece = first
    while offset < end:
        data = _bytes_of(piece)[: end - offset]
        if not data:
            raise RequestError("not_found", "what was being read is gone: retention or a delete has removed it")
        yield data
        offset += len(data)
        if offset < end:
            piece = await ask(offset, min(PIECE_BYTES, end - offset))
