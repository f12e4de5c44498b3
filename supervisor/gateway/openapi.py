"""The OpenAPI 3.1 document, made of the table of operations and the types that requests are checked by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from supervisor import __version__
from supervisor.core.names import CODES
from supervisor.gateway import problem

if TYPE_CHECKING:
    from supervisor.gateway.api import Endpoint

PATH: Final = "/openapi.json"
_REF: Final = "#/components/schemas/{name}"
ALWAYS: Final = ("bad_request", "unauthorized", "permission_denied", "rate_limited", "no_daemon", "internal")
"""What every request can be refused with."""
OPEN_REFUSALS: Final = ("rate_limited", "bad_request", "permission_denied", "internal")
JOB: Final[dict[str, Any]] = {
    "name": "job",
    "in": "path",
    "required": True,
    "description": "the job's id",
    "schema": {"type": "integer", "minimum": 1, "maximum": 2**53},
}
NAME: Final[dict[str, Any]] = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "the file's name, a path below the output folder",
    "schema": {"type": "string", "minLength": 1},
}
LAST_EVENT: Final[dict[str, Any]] = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "send the events after this one",
    "schema": {"type": "integer", "minimum": 0, "maximum": 2**53},
}
EVENT_STREAM: Final = "text/event-stream"
FRAME: Final[dict[str, Any]] = {
    "type": "object",
    "description": "one frame; `data` is JSON. `id` is an event's cursor; frames of output have none",
    "required": ["event", "data"],
    "properties": {"id": {"type": "string"}, "event": {"type": "string"}, "data": {"type": "string"}},
}


def document(table: Iterable[Endpoint]) -> dict[str, Any]:
    """The whole document."""
    table = tuple(table)
    kinds = list(dict.fromkeys(_kinds(table)))
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    by_kind = dict(zip(map(_key, kinds), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for one in table:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, by_kind)
    paths[PATH] = {"get": {"summary": "This document", "responses": {"200": {"description": "it"}}}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "workerctl",
            "version": __version__,
            "description": "A job daemon over HTTP: docs/HTTP.md. Errors are application/problem+json.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "`workerctl token`"}},
        },
        "security": [{"token": []}],
    }


def _kinds(table: tuple[Endpoint, ...]) -> Iterable[Any]:
    yield problem.Problem
    for one in table:
        yield from (kind for kind in (one.body, *(one.answers or {}).values()) if kind is not None)


def _key(kind: Any) -> str:
    return repr(kind)


def _operation(one: Endpoint, by_kind: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": one.summary, "operationId": one.handler.__name__}
    parameters = [JOB] if "{job}" in one.path else []
    parameters += [NAME] if "{name}" in one.path else []
    parameters += [LAST_EVENT] if one.resumable else []
    parameters += _query(one.query)
    if parameters:
        operation["parameters"] = parameters
    if one.body is not None:
        operation["requestBody"] = _body(one.body, by_kind)
    if one.is_open:
        operation["security"] = []
    responses = {
        str(status): _response(kind, by_kind, one.media_type) for status, kind in (one.answers or {200: None}).items()
    }
    codes = {*one.refusals, *(OPEN_REFUSALS if one.is_open else ALWAYS)}
    for status, meanings in sorted(_by_status(codes).items()):
        responses.setdefault(str(status), _refusal("; ".join(meanings), by_kind))
    operation["responses"] = responses
    return operation


def _query(kind: type[msgspec.Struct]) -> list[dict[str, Any]]:
    """One parameter for each field."""
    _, components = msgspec.json.schema_components([kind], ref_template=_REF)
    schema = components.get(kind.__name__, {})
    return [
        {"name": name, "in": "query", "schema": _of_text(one)} for name, one in schema.get("properties", {}).items()
    ]


def _of_text(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that may be left out cannot be null: its text would be a word."""
    plain = {key: value for key, value in schema.items() if key != "default" or value is not None}
    kinds = [one for one in plain.pop("anyOf", []) if one.get("type") != "null"]
    return plain | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {})


def _body(kind: type[msgspec.Struct], by_kind: dict[str, Any]) -> dict[str, Any]:
    form = {
        "type": "object",
        "required": ["file"],
        "properties": {"file": {"type": "string", "contentMediaType": "application/octet-stream"}},
        "description": "the script as `file`; beside it the members of NewJob as text (args, env, params, after as JSON)",
    }
    return {
        "required": True,
        "content": {"application/json": {"schema": by_kind[_key(kind)]}, "multipart/form-data": {"schema": form}},
    }


def _response(kind: Any, by_kind: dict[str, Any], media_type: str) -> dict[str, Any]:
    if kind is None:
        schema = FRAME if media_type == EVENT_STREAM else {"type": "string"}
        return {"description": "it", "content": {media_type: {"schema": schema}}}
    return {"description": "it", "content": {"application/json": {"schema": by_kind[_key(kind)]}}}


def _refusal(meaning: str, by_kind: dict[str, Any]) -> dict[str, Any]:
    return {"description": meaning, "content": {problem.MEDIA_TYPE: {"schema": by_kind[_key(problem.Problem)]}}}


def _by_status(codes: Iterable[str]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for code in sorted(codes):
        found.setdefault(CODES[code].http_status, []).append(f"{code}: {CODES[code].meaning}")
    return found
