"""Small parts of the broker, each by itself."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.broker.chunk import as_chunk
from supervisor.broker.reconcile import lost_incarnations
from supervisor.wire.tree import Fleet, Member


def member(incarnation: str | None) -> Member:
    return Member(worker="scripts/1", pool="scripts", state="starting", incarnation=incarnation, pid=1)


@pytest.mark.parametrize(
    ("running", "alive", "exiting", "lost"),
    [
        ([], [], [], []),
        (["s1-1"], ["s1-1"], [], []),
        (["s1-1"], [], ["s1-1"], []),
        (["s1-1"], [], [], [("s1-1", "worker_lost")]),
        (["s0-4"], ["s1-1"], [], [("s0-4", "host_lost")]),
        (["s0-4", "s1-1", "s1-2", "s1-3"], ["s1-1"], ["s1-2"], [("s0-4", "host_lost"), ("s1-3", "worker_lost")]),
    ],
)
def test_only_what_nobody_can_end_any_more_is_lost(
    running: list[str], alive: list[str], exiting: list[str], lost: list[tuple[str, str]]
) -> None:
    fleet = Fleet(supervisor="s1", members=tuple(map(member, [*alive, None])), exiting=tuple(exiting))
    assert [(incarnation, reason) for incarnation, reason, _ in lost_incarnations(running, fleet)] == lost


@given(st.text(), st.integers(1, 7))
def test_text_cut_anywhere_arrives_whole_and_as_text(text: str, size: int) -> None:
    data, offset, arrived = text.encode(), 0, b""
    while offset < len(data):
        end = min(offset + size, len(data))
        chunk = as_chunk(offset, data[offset:end], more_may_come=end < len(data))
        if not chunk.length:
            size += 1
            continue
        assert chunk.encoding == "utf-8"
        arrived += chunk.data.encode()
        offset = chunk.end
    assert arrived == data


@given(st.binary(max_size=200))
def test_any_bytes_arrive_as_they_are(data: bytes) -> None:
    chunk = as_chunk(5, data, more_may_come=False)
    assert chunk.end == 5 + len(data)
    assert (chunk.data.encode() if chunk.encoding == "utf-8" else base64.b64decode(chunk.data)) == data
