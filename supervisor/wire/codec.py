"""Encoders and decoders, built once. Requests are decoded strictly, answers tolerantly.

Numbers that JSON has no word for (NaN, infinity) and lone surrogates are refused by the decoder itself.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from supervisor.core.errors import RequestError
from supervisor.wire.control import ClientRequest, JobRequest
from supervisor.wire.lease import WorkerRequest
from supervisor.wire.tree import ArbiterMessage, BrokerMessage

AnyRequest = ClientRequest | WorkerRequest

_encoder: Final = msgspec.json.Encoder()
_request_decoder: Final[msgspec.json.Decoder[AnyRequest]] = msgspec.json.Decoder(AnyRequest)
_arbiter_decoder: Final[msgspec.json.Decoder[ArbiterMessage]] = msgspec.json.Decoder(ArbiterMessage)
_broker_decoder: Final[msgspec.json.Decoder[BrokerMessage]] = msgspec.json.Decoder(BrokerMessage)


class _Head(msgspec.Struct):
    id: int | None = None
    op: str | None = None


class _Jobs(msgspec.Struct):
    jobs: list[msgspec.Raw] = []


_head_decoder: Final = msgspec.json.Decoder(_Head)
_jobs_decoder: Final = msgspec.json.Decoder(_Jobs)
_job_decoder: Final = msgspec.json.Decoder(JobRequest)


class Answer(msgspec.Struct, tag_field="re", omit_defaults=True):
    """Base of what the daemon answers. Each has the request's `id` first, None if the request was unreadable."""


class Ok(Answer, tag="ok"):
    """The request was done; `value` is its result."""

    id: int | None
    value: Any = None


class Item(Answer, tag="item"):
    """One element of a stream."""

    id: int | None
    value: Any = None


class End(Answer, tag="end"):
    """The stream is over; `cursor` is where it ended."""

    id: int | None
    cursor: int = 0


class Error(Answer, tag="error"):
    """The request was not done. `code` is one of `names.CODES`; `message` says what, why and what to do."""

    id: int | None
    code: str
    message: str
    data: dict[str, Any] | None = None


def encode(message: Any) -> bytes:
    """`message` as one line with its newline."""
    return _encoder.encode(message) + b"\n"


def decode_request(line: bytes) -> AnyRequest:
    """The request of a line; raises RequestError `bad_frame`, `unknown_op` or `bad_request` naming the field."""
    try:
        return _request_decoder.decode(line)
    except msgspec.ValidationError as error:
        raise _what_is_wrong(line, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError("bad_frame", f"not one JSON object in UTF-8: {error}") from None


def request_id_of(line: bytes) -> int | None:
    """The `id` of a line that is no valid request, so that its error can be told apart; None if there is none."""
    try:
        number = _head_decoder.decode(line).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return number if number is not None and 0 <= number <= 2**53 else None


def _what_is_wrong(line: bytes, sentence: str) -> RequestError:
    try:
        op = _head_decoder.decode(line).op
    except (msgspec.DecodeError, RecursionError):
        op = ""
    if op is None:
        return RequestError("bad_request", "the field `op` is missing: it names the operation, see `describe`")
    if op and op not in OPS:
        legal = ", ".join(sorted(OPS))
        return RequestError("unknown_op", f"there is no operation {op!r}; there are {legal}", {"op": op})
    wrong = _first_wrong_job(line) if op == "submit_many" else None
    if wrong is not None:
        place, sentence = wrong
        return RequestError("bad_request", _sentence(sentence), {"place": place})
    return RequestError("bad_request", _sentence(sentence))


def _sentence(sentence: str) -> str:
    if "matching regex" not in sentence:
        return sentence
    field = sentence.rpartition("`")[0].rpartition("`")[2]
    return f"{field}: {_WORDS.get(field.rpartition('.')[2], _NAME)}"


def _first_wrong_job(line: bytes) -> tuple[int, str] | None:
    """Which of many jobs is wrong, and why; the decoder of the whole does not tell the place."""
    try:
        jobs = _jobs_decoder.decode(line).jobs
    except (msgspec.DecodeError, RecursionError):
        return None
    for place, job in enumerate(jobs):
        try:
            _job_decoder.decode(job)
        except msgspec.ValidationError as error:
            return place, str(error)
    return None


_NAME: Final = "a name is 1 to 64 letters, digits, dots, dashes and underscores, and begins with a letter or digit"
_WORDS: Final = {
    "request_id": "8 to 64 letters, digits, dots, dashes and underscores",
    "sha256": "64 lower-case hexadecimal digits",
    "stdin_sha256": "64 lower-case hexadecimal digits",
    "backup": "32 lower-case hexadecimal digits",
}


def decode_from_arbiter(line: bytes) -> ArbiterMessage:
    """A message on the broker's end of the channel."""
    return _arbiter_decoder.decode(line)


def decode_from_broker(line: bytes) -> BrokerMessage:
    """A message on the arbiter's end of the channel."""
    return _broker_decoder.decode(line)


def _ops() -> dict[str, type]:
    union = AnyRequest.__args__
    return {str(struct.__struct_config__.tag): struct for struct in union}


OPS: Final = _ops()
