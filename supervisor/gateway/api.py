"""Every operation of HTTP in one table: routes, roles and the OpenAPI document are made of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from supervisor.core.errors import RequestError
from supervisor.gateway import openapi, problem, records
from supervisor.gateway.front import OPEN, ROUTE
from supervisor.gateway.rest import Rest
from supervisor.gateway.sse import Streams

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Endpoint:
    """One operation. `answers` are the types of its JSON by status; `media_type` is that of an answer without one.

    `refusals` are the codes that it can be refused with, besides those that everything can be.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    query: type[msgspec.Struct] = records.Nothing
    body: type[msgspec.Struct] | None = None
    answers: dict[int, Any] | None = None
    media_type: str = "application/json"
    refusals: tuple[str, ...] = ()
    resumable: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it needs no token."""
        return self.path in OPEN


_JOB: Final = "/jobs/{job}"
_NOT_THERE: Final = ("not_found",)
_SUBMIT: Final = (
    "conflict",
    "unknown_source",
    "above_maximum",
    "below_floor",
    "not_allowed",
    "unsupported",
    "blocked",
    "queue_full",
    "storage_full",
    "frame_too_large",
)


def endpoints(rest: Rest, streams: Streams) -> tuple[Endpoint, ...]:
    """The table."""
    job = {200: records.Job}
    return (
        Endpoint("GET", "/health", rest.health, "Whether the daemon is well", answers=_both(records.HealthReport)),
        Endpoint("GET", "/health/ready", rest.ready, "Whether jobs are started", answers=_both(records.HealthReport)),
        Endpoint("GET", "/metrics", rest.metrics, "The daemon's numbers, for Prometheus", media_type="text/plain"),
        Endpoint(
            "POST",
            "/jobs",
            rest.submit,
            "Submit a job",
            body=records.NewJob,
            answers={201: records.SubmittedJob, 200: records.SubmittedJob},
            refusals=_SUBMIT,
        ),
        Endpoint("GET", "/jobs", rest.page, "Jobs, newest first", records.ListQuery, answers={200: records.JobPage}),
        Endpoint("GET", _JOB, rest.show, "A job, whole", answers=job, refusals=_NOT_THERE),
        Endpoint(
            "DELETE",
            _JOB,
            rest.cancel,
            "Cancel a job",
            records.CancelQuery,
            answers=job,
            refusals=("not_found", "wrong_state"),
        ),
        Endpoint(
            "POST",
            f"{_JOB}/retry",
            rest.retry,
            "Queue a finished job again",
            answers=job,
            refusals=("not_found", "wrong_state", "conflict", "storage_full"),
        ),
        Endpoint("GET", f"{_JOB}/result", rest.result, "A job's result", answers={200: Any}, refusals=_NOT_THERE),
        Endpoint(
            "GET", f"{_JOB}/explain", rest.explain, "Why it waits or died", answers={200: dict}, refusals=_NOT_THERE
        ),
        Endpoint(
            "GET",
            f"{_JOB}/logs",
            rest.logs,
            "The raw bytes of a job's output",
            records.LogsQuery,
            media_type="text/plain",
            refusals=_NOT_THERE,
        ),
        Endpoint(
            "GET",
            f"{_JOB}/artifacts",
            rest.artifacts,
            "The files that a job left",
            records.AttemptQuery,
            answers={200: records.ArtifactList},
            refusals=_NOT_THERE,
        ),
        Endpoint(
            "GET",
            f"{_JOB}/artifacts/{{name}}",
            rest.artifact,
            "The bytes of one of them",
            records.AttemptQuery,
            media_type="application/octet-stream",
            refusals=_NOT_THERE,
        ),
        Endpoint(
            "GET",
            f"{_JOB}/events",
            streams.of_job,
            "Events and output of a job, to its end",
            records.JobEventsQuery,
            media_type=openapi.EVENT_STREAM,
            refusals=_NOT_THERE,
            resumable=True,
        ),
        Endpoint(
            "GET",
            "/events",
            streams.of_all,
            "What happens from now on, or since a cursor",
            records.EventsQuery,
            media_type=openapi.EVENT_STREAM,
            refusals=_NOT_THERE,
            resumable=True,
        ),
        Endpoint("GET", "/token", rest.token, "What the token may do", answers={200: records.TokenRole}),
        Endpoint("GET", "/stats", rest.stats, "How much, how fast, why it fails", answers={200: records.Stats}),
        Endpoint("GET", "/status", rest.status, "The daemon at a glance", answers={200: dict}),
        Endpoint("GET", "/workers", rest.workers, "Each worker", answers={200: records.WorkerList}),
        Endpoint("GET", "/queues", rest.queues, "Each queue", answers={200: records.QueueList}),
    )


class _JobNumber(IntegerConvertor):
    """Python makes no number of thousands of digits, and no job has one of more than these."""

    regex = "[0-9]{1,20}"


register_url_convertor("job", _JobNumber())


def application(table: tuple[Endpoint, ...]) -> Starlette:
    """The routes of the table, and the document that describes them."""
    document = msgspec.json.encode(openapi.document(table))

    async def describe(_: Request) -> Response:
        return Response(document, media_type="application/json")

    handlers: dict[str, dict[str, Handler]] = {}
    for one in table:
        handlers.setdefault(one.path, {})[one.method] = one.handler
    handlers[openapi.PATH] = {"GET": describe}
    app = Starlette(
        routes=[_route(path, by_method) for path, by_method in handlers.items()],
        exception_handlers={
            RequestError: problem.on_request_error,
            404: problem.on_no_route,
            405: problem.on_wrong_method,
            HTTPException: problem.on_http_error,
            Exception: problem.on_defect,
        },
    )
    app.router.redirect_slashes = False
    return app


def _route(path: str, handlers: dict[str, Handler]) -> Route:
    async def handle(request: Request) -> Response:
        request.scope[ROUTE] = path
        return await handlers["GET" if request.method == "HEAD" else request.method](request)

    # A name may hold slashes; a job is a number.
    return Route(path.replace("{job}", "{job:job}").replace("{name}", "{name:path}"), handle, methods=list(handlers))


def _both(kind: type) -> dict[int, Any]:
    return {200: kind, 503: kind}
