"""What every request passes before an operation sees it: rate, host, token, origin, size and time of its body.

Invariant: but for health and the page's files nothing is answered without a token of the role that it needs. Tokens
are compared in constant time. What is refused here never reaches the broker.
"""

from __future__ import annotations

import asyncio
import hmac
import math
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from loguru import logger
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from supervisor.core.errors import RequestError
from supervisor.core.units import format_size
from supervisor.gateway import problem
from supervisor.gateway.hosts import is_ours, same_origin
from supervisor.gateway.meter import Meter
from supervisor.gateway.pages import Pages
from supervisor.gateway.rate import Buckets
from supervisor.tokens import Tokens

BODY_S: Final = 30.0
"""So long a request's body may take."""
LEAST_PAGE_RATE: Final = 100.0
"""So many of the page's files an address may at least ask for in a second, which are two dozen, and hold nothing."""
OPEN: Final = frozenset({"/health", "/health/ready"})
LOOKS: Final = frozenset({"GET", "HEAD"})
WRITE: Final = "write"
READ: Final = "read"
ROUTE: Final = "workerctl.route"
"""Where in the scope an operation says which it is, for the metrics."""
ROLE: Final = "workerctl.role"
"""Where in the scope an operation finds the role of the token that it was asked with."""
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
DEFAULTS: Final = {"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}


@dataclass(frozen=True)
class Rules:
    """`hosts` are the names that are ours besides addresses and localhost; `rate` is what an address may ask in a
    second, None for any number; `max_body_bytes` is the most of one request.
    """

    tokens: Tokens
    hosts: Collection[str]
    rate: float | None
    max_body_bytes: int


class Front:
    """The outermost application."""

    def __init__(self, app: ASGIApp, rules: Rules, pages: Pages, meter: Meter) -> None:
        self._app = app
        self._rules = rules
        self._buckets = Buckets(rules.rate)
        self._page_buckets = Buckets(None if rules.rate is None else max(rules.rate, LEAST_PAGE_RATE))
        self._pages = pages
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        began_s = time.monotonic()
        sent = _Sent(send)
        try:
            await self._serve(scope, receive, sent)
        except RequestError as error:
            await self._refuse(error, scope, receive, sent)
        except Exception:
            logger.exception("a defect while serving {} {}", scope["method"], scope["path"])
            await self._refuse(
                RequestError("internal", "a defect of the gateway; its log says more"), scope, receive, sent
            )
        finally:
            self._meter.served(scope["method"], scope.get(ROUTE, "other"), sent.status, time.monotonic() - began_s)

    async def _refuse(self, error: RequestError, scope: Scope, receive: Receive, sent: _Sent) -> None:
        if sent.status:
            # Its head is out: that it was not whole can only be told by cutting it off.
            raise error
        await (await problem.on_request_error(None, error))(scope, receive, sent)  # type: ignore[arg-type]

    async def _serve(self, scope: Scope, receive: Receive, send: _Sent) -> None:
        headers = Headers(scope=scope)
        over_ip = scope.get("client") is not None
        path = scope["path"]
        is_page = path in self._pages and scope["method"] in LOOKS
        role = self._role_of(headers)
        self._check_rate(scope, role, self._page_buckets if is_page else self._buckets)
        if over_ip:
            # A browser cannot reach a Unix socket.
            self._check_host(headers)
        if is_page:
            scope[ROUTE] = "page"
            await self._pages.response(path, headers.get("if-none-match", ""))(scope, receive, send)
            return
        if path not in OPEN:
            scope[ROLE] = self._check_role(role, headers, scope["method"])
        self._check_origin(headers)
        await self._app(scope, self._bounded(headers, receive, send), send)

    def _check_rate(self, scope: Scope, role: str | None, buckets: Buckets) -> None:
        """Whoever has a token is counted apart: others of his address, or of his proxy, cannot use it up for him."""
        client = scope.get("client")
        who = f"{client[0] if client else 'unix'} {role or ''}"
        wait_s = buckets.take(who, time.monotonic())
        if wait_s > 0:
            raise RequestError(
                "rate_limited",
                f"too many requests from this address: try again in {math.ceil(wait_s)} s, or raise http.rate",
            )

    def _check_host(self, headers: Headers) -> None:
        host = headers.get("host", "")
        if not is_ours(host, self._rules.hosts):
            raise RequestError(
                "permission_denied",
                f"the host {host!r} is none of this daemon's: add its name to the setting http.hosts",
            )

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is not None and not same_origin(origin, headers.get("host", "")):
            raise RequestError("permission_denied", f"a page of {origin!r} may not ask here")

    def _role_of(self, headers: Headers) -> str | None:
        """The role of the request's token; None without a right one."""
        token, tokens = _token_of(headers), self._rules.tokens
        may_write = hmac.compare_digest(token, tokens.write.encode())
        may_read = hmac.compare_digest(token, tokens.read.encode())
        return WRITE if may_write else READ if may_read else None

    def _check_role(self, role: str | None, headers: Headers, method: str) -> str:
        if role is None:
            what = "the token is wrong" if _token_of(headers) else "a token is needed"
            raise RequestError(
                "unauthorized", f"{what}: send `Authorization: Bearer TOKEN`; `workerctl token` prints it"
            )
        if role != WRITE and method not in LOOKS:
            raise RequestError(
                "permission_denied", "this token may only look: `workerctl token` prints one that may write"
            )
        return role

    def _bounded(self, headers: Headers, receive: Receive, sent: _Sent) -> Receive:
        largest = self._rules.max_body_bytes
        length = headers.get("content-length", "0")
        if length.isascii() and length.isdecimal() and int(length) > largest:
            raise _too_large(largest)
        deadline_s = asyncio.get_running_loop().time() + BODY_S
        seen, more = 0, True

        async def next_message() -> Message:
            nonlocal seen, more
            if not more:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline_s):
                    message = await receive()
            except TimeoutError:
                raise RequestError("frame_timeout", f"the body was not complete after {BODY_S:g} s") from None
            if message["type"] != "http.request":
                raise RequestError("bad_request", "the connection was closed before the body was complete")
            more = bool(message.get("more_body"))
            seen += len(message.get("body", b""))
            if seen > largest:
                raise _too_large(largest)
            return message

        async def next_unless_answered() -> Message:
            try:
                return await next_message()
            except RequestError:
                if not sent.status:
                    raise
                # A stream only waits for its client to go: one that does not send what it announced is sent no more.
                return {"type": "http.disconnect"}

        return next_unless_answered


class _Sent:
    """Passes on what is answered, with the headers that everything carries; `status` is 0 until something is."""

    def __init__(self, send: Send) -> None:
        self.status = 0
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            for name, value in DEFAULTS.items():
                headers.setdefault(name, value)
            if self.status == 401:
                headers["WWW-Authenticate"] = "Bearer"
        await self._send(message)


def _token_of(headers: Headers) -> bytes:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return given.strip().encode() if scheme.lower() == "bearer" else b""


def _too_large(largest: int) -> RequestError:
    return RequestError(
        "frame_too_large",
        f"the body has more than {format_size(largest)} (setting http.max_body): submit larger scripts by `workerctl submit`",
    )
