"""Lines out of whatever pieces the socket gives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.errors import RequestError
from supervisor.wire.codec import decode_request, request_id_of
from supervisor.wire.frame import FrameTooLarge, LineBuffer


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line)), st.data())
def test_lines_survive_any_cutting(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    buffer, found, at = LineBuffer(), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, 9))
        found += buffer.feed(stream[at : at + size])
        at += size
    assert found == lines
    assert not buffer.unfinished


def test_a_line_of_the_maximum_passes_and_a_longer_one_does_not() -> None:
    assert list(LineBuffer(10).feed(b"x" * 10 + b"\n")) == [b"x" * 10]
    with pytest.raises(FrameTooLarge):
        list(LineBuffer(10).feed(b"x" * 11 + b"\n"))
    with pytest.raises(FrameTooLarge):
        list(LineBuffer(10).feed(b"x" * 11))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_a_request_error(line: bytes) -> None:
    request_id_of(line)
    try:
        decode_request(line)
    except RequestError as error:
        assert error.code in ("bad_frame", "bad_request", "unknown_op")
        assert error.message
