"""What a request says, decoded strictly by the types of `records.py`: its query, its path, its body."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from supervisor.core.errors import RequestError
from supervisor.gateway.records import NewJob, Options

Struct = TypeVar("Struct", bound=msgspec.Struct)

LARGEST_ID: Final = 2**53
SMALL_BODY_BYTES: Final = 64 << 10
"""No more than a connection holds of a body in any case."""
MOST_FIELDS: Final = 100
_AS_JSON: Final = frozenset({"args", "env", "params", "after"})
"""The members that a form gives as JSON."""
_AS_TEXT: Final = frozenset({"name", "type", "stdin", "queue", "at", "backoff", "unique", "request_id", "isolation"})


def query_of(request: Request, kind: type[Struct]) -> Struct:
    """The query as `kind`; raises `bad_request` naming the parameter."""
    lists = {field.name for field in msgspec.structs.fields(kind) if field.name == "state"}
    values: dict[str, Any] = {}
    for name in request.query_params:
        given = request.query_params.getlist(name)
        if name in lists:
            values[name] = [word for one in given for word in one.split(",") if word]
        elif len(given) > 1:
            raise RequestError("bad_request", f"`{name}` is given {len(given)} times: give it once")
        else:
            values[name] = given[0]
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise RequestError("bad_request", f"the query: {error}") from None


def job_of(request: Request) -> int:
    """The job that the path names."""
    job = int(request.path_params["job"])
    if not 1 <= job <= LARGEST_ID:
        raise RequestError("not_found", f"there is no job {job}", {"job": job})
    return job


def last_event_of(request: Request) -> int | None:
    """`Last-Event-ID`, None without; raises `bad_request` for what is no id of ours."""
    text = request.headers.get("last-event-id")
    if text is None or not text.strip():
        return None
    word = text.strip()
    if not (word.isascii() and word.isdecimal() and len(word) <= 16 and int(word) <= LARGEST_ID):
        raise RequestError("bad_request", f"Last-Event-ID: {text!r} is not the id of an event")
    return int(word)


def is_small(request: Request) -> bool:
    """Whether the request says that its body is a small one, and so that it cannot become larger."""
    if "transfer-encoding" in request.headers:
        return False  # a length beside it means nothing
    length = request.headers.get("content-length", "")
    return length.isascii() and length.isdecimal() and len(length) <= 9 and int(length) <= SMALL_BODY_BYTES


async def new_job_of(request: Request) -> tuple[Options, bytes | None]:
    """The options and the script of a submit, from JSON or from a form with a `file`."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        return await _from_form(request)
    if media_type not in ("application/json", ""):
        raise RequestError(
            "bad_request", f"a job is sent as application/json or multipart/form-data, not as {media_type!r}"
        )
    try:
        new = msgspec.json.decode(await request.body(), type=NewJob)
    except msgspec.ValidationError as error:
        raise RequestError("bad_request", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError("bad_request", f"the body is not JSON in UTF-8: {error}") from None
    return new, None if new.code is None else new.code.encode()


async def _from_form(request: Request) -> tuple[Options, bytes | None]:
    try:
        form = await request.form(max_files=1, max_fields=MOST_FIELDS, max_part_size=1 << 20)
    except (HTTPException, UnicodeDecodeError, ValueError, KeyError) as error:
        raise RequestError("bad_request", f"the form cannot be read: {getattr(error, 'detail', error)}") from None
    try:
        values: dict[str, Any] = {}
        script: bytes | None = None
        file_name: str | None = None
        for name, value in form.multi_items():
            if name in values or (name == "file" and script is not None):
                raise RequestError("bad_request", f"`{name}` is there twice: give it once")
            if name != "file":
                values[name] = await _text_of(name, value)
            elif isinstance(value, UploadFile):
                script = await value.read()
                file_name = (value.filename or "").replace("\\", "/").rpartition("/")[2] or None
            else:
                script = value.encode()
        return _options_of({"name": file_name, **values}), script
    finally:
        await form.close()


async def _text_of(name: str, value: UploadFile | str) -> Any:
    text = value if isinstance(value, str) else (await value.read()).decode("utf-8", "replace")
    if name in _AS_JSON:
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            raise RequestError("bad_request", f"`{name}` of the form is not JSON: {error}") from None
    return text


def _options_of(values: dict[str, Any]) -> Options:
    texts = {name: values[name] for name in values if name in _AS_TEXT | _AS_JSON}
    others = {name: value for name, value in values.items() if name not in texts}
    try:
        checked = msgspec.to_builtins(msgspec.convert(others, Options, strict=False), builtin_types=())
        said = {name: checked[name] for name in others}
        return msgspec.convert({**said, **texts}, Options)
    except msgspec.ValidationError as error:
        raise RequestError("bad_request", f"the form: {error}") from None
