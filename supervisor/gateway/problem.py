"""Errors as `application/problem+json` (RFC 9457), with the codes of the control protocol."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from supervisor.core.errors import RequestError
from supervisor.core.names import CODES

MEDIA_TYPE: Final = "application/problem+json"


class Problem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Why a request was not done. `code` is one of the control protocol's; `detail` says what, why and what to do."""

    title: str
    status: int
    code: str
    detail: str
    data: dict[str, Any] | None = None


def answer(error: RequestError, status: int | None = None, headers: dict[str, str] | None = None) -> Response:
    """The response to an error; `status` where HTTP has a better one than the code's own."""
    known = CODES.get(error.code)
    number = status or (known.http_status if known is not None else 500)
    problem = Problem(
        title=HTTPStatus(number).phrase, status=number, code=error.code, detail=error.message, data=error.data
    )
    return Response(msgspec.json.encode(problem), number, headers, MEDIA_TYPE)


async def on_request_error(_: Request, error: Exception) -> Response:
    """Of an operation that was refused."""
    assert isinstance(error, RequestError)
    retry_after = {"Retry-After": "1"} if error.code in ("busy", "no_daemon", "rate_limited", "lagged") else None
    return answer(error, headers=retry_after)


async def on_no_route(request: Request, _: Exception) -> Response:
    """Of a path that there is not."""
    return answer(RequestError("unknown_op", f"there is nothing at {request.url.path}; see /openapi.json"), 404)


async def on_wrong_method(request: Request, error: Exception) -> Response:
    """Of a method that the path does not know."""
    allowed = getattr(error, "headers", None) or {}
    sentence = f"{request.method} is not for {request.url.path}; it takes {allowed.get('Allow', 'others')}"
    return answer(RequestError("unknown_op", sentence), 405, dict(allowed))


async def on_http_error(_: Request, error: Exception) -> Response:
    """Of what the library refuses by itself."""
    status = getattr(error, "status_code", 400)
    return answer(RequestError("bad_request", str(getattr(error, "detail", error))), status)


async def on_defect(_: Request, __: Exception) -> Response:
    """Of a defect of ours."""
    return answer(RequestError("internal", "a defect of the gateway; its log says more"))
