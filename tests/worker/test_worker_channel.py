"""The worker's end of a job's channel, with a hostile job at the other end."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

import pytest

from supervisor.worker.channel import Channel

LINGERS_S = 20


@pytest.fixture
def channel() -> Iterator[Channel]:
    made = Channel()
    yield made
    made.close()


def lingering() -> tuple[socket.socket, socket.socket]:
    """A connection that nobody reads, full, and whose close waits for it to be read."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    ours.setblocking(False)
    try:
        while True:
            ours.send(bytes(65536))
    except BlockingIOError:
        pass
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, LINGERS_S))
    return ours, theirs


def send_and_keep_nothing(channel: Channel, descriptors: list[socket.socket]) -> None:
    socket.send_fds(channel.theirs, [b'{"type":"result","value":1}\n'], [each.fileno() for each in descriptors])
    for each in descriptors:
        each.close()


def test_descriptors_that_a_job_sends_are_dropped_at_once_and_end_the_conversation(channel: Channel) -> None:
    pairs = [lingering() for _ in range(3)]
    send_and_keep_nothing(channel, [ours for ours, _ in pairs])
    channel.theirs.sendall(b'{"type":"result","value":2}\n')
    began = time.monotonic()
    channel.receive()
    assert time.monotonic() - began < LINGERS_S / 2
    assert not channel.open
    assert channel.result is not None
    assert bytes(channel.result) == b"1"
    assert channel.refused is not None
    assert "descriptors" in channel.refused
    for _, theirs in pairs:
        theirs.close()


def test_descriptors_that_were_never_looked_at_do_not_hold_up_the_end() -> None:
    channel = Channel()
    ours, theirs = lingering()
    send_and_keep_nothing(channel, [ours])
    began = time.monotonic()
    channel.close()
    assert time.monotonic() - began < LINGERS_S / 2
    theirs.close()
