"""A submit made ready: its content read and hashed, its options checked, its request id made."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager

from ctl.blob import blob_of_bytes, blob_of_file, blob_of_stdin
from ctl.errors import WorkerctlError, invalid
from ctl.job import Submitted
from ctl.script import Script, from_text, inline_text, read_script
from ctl.submission import CONTENT, submit_fields
from ctl.upload import put

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from ctl.blob import Blob
    from ctl.bulk import Entry
    from ctl.session import Session


class Prepared:
    """The fields of one submit, and the blobs that have to be there before it.

    `file_name`: what the file of a script that goes inside is called; None if only the job has a name.
    """

    def __init__(
        self, fields: dict[str, Any], blobs: list[Blob], warnings: list[str], file_name: str | None = None
    ) -> None:
        self.fields = fields
        self._blobs = blobs
        self._warnings = warnings
        self._file_name = file_name

    def called(self, name: str) -> dict[str, Any]:
        """The fields, with the job called `name`. Its script's file keeps its own, which tells how it is run."""
        kept = {} if self._file_name in (None, name) else {"main": self._file_name}
        return {**self.fields, **kept, "name": name}

    def put(self, session: Session) -> None:
        """Sends the blobs."""
        for blob in self._blobs:
            put(session, blob)

    def send(self, session: Session) -> Submitted:
        """Sends all of it; returns when the job is durable."""
        self.put(session)
        try:
            value = session.call("submit", self.fields)
        except WorkerctlError as error:
            if error.code != "unknown_source" or not self._blobs:
                raise
            # It was thrown away between the two, as content that no job refers to.
            self.put(session)
            value = session.call("submit", self.fields)
        return submitted(value, self._warnings)

    def close(self) -> None:
        """Lets go of the files."""
        for blob in self._blobs:
            blob.close()


@contextmanager
def prepare(file: str | os.PathLike[str] | None, options: Mapping[str, Any]) -> Iterator[Prepared]:
    """The submit of `file` with `options`; raises InvalidRequest."""
    request = _prepared(file, dict(options))
    try:
        yield request
    finally:
        request.close()


def prepare_all(session: Session, jobs: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """Each submit, all content put; raises InvalidRequest naming which one."""
    from ctl.bulk import Entry, check_key, linked

    entries: list[Entry] = []
    places: dict[str, int] = {}
    for number, job in enumerate(jobs):
        options = dict(job)
        key = options.pop("key", None)
        try:
            there, earlier = linked(options.pop("after", None) or (), places)
            if there:
                options["after"] = there
            request = _prepared(options.pop("file", None), options)
            try:
                request.put(session)
            finally:
                request.close()
            entries.append(Entry(request.fields, earlier))
            if key is not None:
                places[check_key(key, places)] = number
        except WorkerctlError as error:
            error.message = f"job {number} of the list: {error.message}"
            error.args = (error.message,)
            raise
    return entries


def submitted(value: dict[str, Any], warnings: Iterable[str] = ()) -> Submitted:
    """What a submit was answered with."""
    said = [*warnings, *value.get("warnings", ())]
    existing = bool(value.get("existing"))
    return Submitted(value["job"], bool(value.get("created", True)), said, value.get("findings"), existing=existing)


@contextmanager
def content(**what: Any) -> Iterator[Prepared]:
    """The fields that say what a job is made of: `file` or `source`, `main`, `files`, `stdin` or `stdin_file`."""
    request = _content(**what)
    try:
        yield request
    finally:
        request.close()


def new_request_id() -> str:
    """Unlike every other one. Later ones sort behind earlier ones, so that the daemon's index of them grows at its end."""
    return f"{time.time_ns():016x}{os.urandom(8).hex()}"


def _prepared(file: str | os.PathLike[str] | None, options: dict[str, Any]) -> Prepared:
    name = options.pop("name", None)
    request_id = options.pop("request_id", None) or new_request_id()
    what = {key: options.pop(key, None) for key in CONTENT}
    asked = submit_fields(options)
    is_typed = "type" in asked and file is None and not any(value is not None for value in what.values())
    request = Prepared({}, [], []) if is_typed and "runtime" not in options else _content(file, **what)
    content_fields = request.fields if name is None else request.called(name)
    request.fields = {"request_id": request_id, **content_fields, **asked}
    return request


def _content(
    file: str | os.PathLike[str] | None = None,
    source: str | None = None,
    main: str | None = None,
    files: Iterable[str | os.PathLike[str]] | None = None,
    stdin: str | bytes | None = None,
    stdin_file: str | os.PathLike[str] | None = None,
) -> Prepared:
    script = _script(file, source, main, [os.fspath(path) for path in files or ()])
    blobs = [place.blob for place in script.places]
    fields: dict[str, Any] = dict(script.fields)
    if script.places:
        fields["contents"] = [place.reference for place in script.places]
    input_blob = _input(file, stdin, stdin_file)
    if input_blob is not None:
        text = inline_text(input_blob)
        if text is not None:
            fields["stdin"] = text
            input_blob.close()
        else:
            fields["stdin_sha256"] = input_blob.sha256
            blobs.append(input_blob)
    is_named = main is not None or file not in (None, "-")
    return Prepared(fields, blobs, script.warnings, fields["name"] if is_named and "source" in fields else None)


def _script(file: str | os.PathLike[str] | None, source: str | None, main: str | None, files: list[str]) -> Script:
    if (file is None) == (source is None):
        raise invalid("give a script: either a file, or its text as `source`; or the `type` of a handler's job")
    if file is not None:
        return read_script(os.fspath(file), main, files)
    assert source is not None
    script = from_text(source, main or "script", files)
    if not source.startswith("#!") and main is None:
        script.fields["type"] = "node"
    return script


def _input(file: object, stdin: str | bytes | None, stdin_file: str | os.PathLike[str] | None) -> Blob | None:
    if stdin is not None and stdin_file is not None:
        raise invalid("give `stdin` or `stdin_file`, not both")
    if stdin is not None:
        return blob_of_bytes(stdin.encode() if isinstance(stdin, str) else stdin)
    if stdin_file is None:
        return None
    if os.fspath(stdin_file) != "-":
        return blob_of_file(os.fspath(stdin_file))
    if file == "-":
        raise invalid("--stdin -: standard input is the script already")
    return blob_of_stdin()
