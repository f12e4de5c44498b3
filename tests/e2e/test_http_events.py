"""Server-sent events: everything once and in order, resumed at any id; who stalls is dropped, and holds up nobody."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.e2e.gateway_client import SETTINGS, TICKS, Http, frames_of, metrics_of, output_of
from tests.harness import Daemon, running_daemon, wait_until


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running_daemon(tmp_path_factory.mktemp("http") / "d", SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def http_(daemon: Daemon) -> Http:
    return Http(daemon)


def test_a_jobs_stream_tells_everything_once_in_order_and_ends(http_: Http) -> None:
    job = http_.submit(TICKS.replace("{n}", "30"))
    frames = http_.frames(f"/jobs/{job}/events")
    ids = [frame["id"] for frame in frames if "id" in frame]
    assert ids == sorted(set(ids))
    events = [frame["event"] for frame in frames if frame["event"] != "output"]
    assert (events[0], events[1], events[-1]) == ("submitted", "running", "completed")
    assert frames[-1]["event"] == "completed"
    assert output_of(frames) == b"".join(b"tick %d\n" % n for n in range(1, 31))
    assert all("id" not in frame for frame in frames if frame["event"] == "output")


def test_a_resumed_stream_is_exactly_the_events_after_that_id(http_: Http) -> None:
    job = http_.submit("console.log('x'); process.exit(3)", retries=1, backoff="10ms")
    http_.wait(job)
    whole = http_.frames(f"/jobs/{job}/events")
    ids = [frame["id"] for frame in whole if "id" in frame]
    assert len(ids) >= 5
    for last in ids:
        begin = next(place for place, frame in enumerate(whole) if frame.get("id") == last) + 1
        assert http_.frames(f"/jobs/{job}/events", **{"Last-Event-ID": str(last)}) == whole[begin:]
    assert http_.frames(f"/jobs/{job}/events?after={ids[0]}") == whole[1:]


def test_output_of_the_attempt_under_way_is_told_again_and_can_be_laid_over(http_: Http) -> None:
    code = """
        process.stdout.write('a'.repeat(10));
        setTimeout(() => { process.send({type: 'progress', percentage: 50}); process.stdout.write('b'.repeat(10)) }, 300)
    """
    job = http_.submit(code)
    whole = http_.frames(f"/jobs/{job}/events")
    assert output_of(whole) == b"a" * 10 + b"b" * 10
    progress = next(frame["id"] for frame in whole if frame["event"] == "progress")
    resumed = http_.frames(f"/jobs/{job}/events", **{"Last-Event-ID": str(progress)})
    assert [frame["event"] for frame in resumed if "id" in frame] == ["completed"]
    assert output_of(resumed) == output_of(whole)
    rest = http_.frames(f"/jobs/{job}/events?attempt=1&stdout=10", **{"Last-Event-ID": str(progress)})
    assert [frame["data"]["data"] for frame in rest if frame["event"] == "output"] == ["b" * 10]


def test_output_is_resumed_at_a_byte(http_: Http) -> None:
    job = http_.submit("process.stdout.write('0123456789')")
    http_.wait(job)
    whole = http_.frames(f"/jobs/{job}/events")
    running = next(frame["id"] for frame in whole if frame["event"] == "running")
    rest = http_.frames(f"/jobs/{job}/events?attempt=1&stdout=4", **{"Last-Event-ID": str(running)})
    assert [frame["data"]["data"] for frame in rest if frame["event"] == "output"] == ["456789"]
    silent = http_.frames(f"/jobs/{job}/events?output=false")
    assert "output" not in [frame["event"] for frame in silent]


def test_the_stream_of_all_begins_now_or_at_a_cursor_and_beats(http_: Http) -> None:
    with http_.client.stream("GET", "/events") as answer:
        begun = int(answer.headers["last-event-id"])
        lines = answer.iter_lines()
        assert [next(lines) for _ in range(4)] == [": still here", ""] * 2
        job = http_.submit("1")
        seen = []
        for frame in frames_of(lines):
            assert frame["id"] > begun
            seen.append(frame["event"])
            if frame["data"]["job"] == job and frame["event"] == "completed":
                break
        assert seen[0] == "submitted"
    with http_.client.stream("GET", "/events", headers={"Last-Event-ID": "0"}) as answer:
        assert next(frames_of(answer.iter_lines()))["event"] == "daemon_started"


def test_a_stalled_stream_holds_up_nobody_and_is_dropped(daemon: Daemon, http_: Http) -> None:
    job = http_.submit("const b = 'x'.repeat(65536) + '\\n'; for (let i = 0; i < 200; i++) process.stdout.write(b)")
    http_.wait(job)
    address = http_.url.removeprefix("http://").split(":")
    request = (
        f"GET /jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {http_.token}\r\n\r\n".encode()
    )
    stalled = []
    for _ in range(5):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((address[0], int(address[1])))
        client.sendall(request)
        stalled.append(client)
    gateway = daemon.pid_of("gateway")
    before_kib = rss_kib(gateway)
    began = time.monotonic()
    fast = http_.frames(f"/jobs/{job}/events")
    assert len(output_of(fast)) == 200 * 65537
    took_s = time.monotonic() - began
    # Those that stall are given ten seconds; who reads needs none of them.
    assert took_s < 8
    assert rss_kib(gateway) - before_kib < 60 << 10

    def streams() -> float:
        return metrics_of(http_)["workerctl_http_event_streams"][()]

    wait_until(lambda: streams() == 0, 40, "the end of the stalled streams")
    for client in stalled:
        client.close()


def test_streams_that_are_asked_for_together_are_bounded_too(http_: Http) -> None:
    host, port = http_.url.removeprefix("http://").split(":")
    asked = f"GET /events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {http_.token}\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection((host, int(port)), timeout=30)) for _ in range(150)]
        for client in clients:
            client.sendall(asked)
        answers = [client.recv(len("HTTP/1.1 200")) for client in clients]
        assert Counter(answers) == {b"HTTP/1.1 200": 128, b"HTTP/1.1 503": 22}
    wait_until(lambda: metrics_of(http_)["workerctl_http_event_streams"][()] == 0, 20, "the end of the streams")


def test_connections_that_send_no_head_are_closed(http_: Http) -> None:
    host, port = http_.url.removeprefix("http://").split(":")
    silent, slow = socket.create_connection((host, int(port))), socket.create_connection((host, int(port)))
    slow.sendall(b"GET / HTTP/1.1\r\nHos")
    for client in (silent, slow):
        client.settimeout(40)
        assert client.recv(1) == b""
        client.close()


def rss_kib(pid: int) -> int:
    text = pathlib.Path(f"/proc/{pid}/statm").read_text()
    return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 10
