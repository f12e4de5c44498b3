"""Names on the wire are whole: what matches at the beginning, or up to a last newline, is not enough."""

from __future__ import annotations

import json

import pytest

from supervisor.core.errors import RequestError
from supervisor.wire.codec import decode_request

SUBMIT = {"op": "submit", "id": 1, "request_id": "abcdefgh"}
NAMES = {
    "request_id": {**SUBMIT, "request_id": "abcdefgh"},
    "queue": {**SUBMIT, "queue": "work"},
    "type": {**SUBMIT, "type": "node"},
    "isolation": {**SUBMIT, "isolation": "plain"},
    "stdin_sha256": {**SUBMIT, "stdin_sha256": "0" * 64},
    "sha256": {"op": "put", "id": 1, "sha256": "0" * 64, "size": 1},
    "backup": {"op": "backup_piece", "id": 1, "backup": "0" * 32},
}


@pytest.mark.parametrize("field", NAMES)
def test_a_name_is_taken_and_with_anything_around_it_is_not(field: str) -> None:
    request = NAMES[field]
    decode_request(json.dumps(request).encode())
    for wrong in (f"{request[field]}\n", f"\n{request[field]}", f"{request[field]} ", f"{request[field]}\r\n"):
        with pytest.raises(RequestError) as caught:
            decode_request(json.dumps({**request, field: wrong}).encode())
        assert caught.value.code == "bad_request"


def test_a_job_to_wait_for_is_named_by_a_whole_request_id() -> None:
    decode_request(json.dumps({**SUBMIT, "after": [{"request_id": "abcdefgh"}]}).encode())
    with pytest.raises(RequestError, match="8 to 64 letters"):
        decode_request(json.dumps({**SUBMIT, "after": [{"request_id": "abcdefgh\n"}]}).encode())


def test_the_error_says_what_that_name_must_be_wherever_it_stands() -> None:
    contents = {**SUBMIT, "main": "x", "contents": [{"sha256": "short", "path": "x"}]}
    with pytest.raises(RequestError, match="64 lower-case hexadecimal digits"):
        decode_request(json.dumps(contents).encode())
