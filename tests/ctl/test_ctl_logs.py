"""Output as it was written: whole, its last lines, and as it comes."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest
from fake_broker import STREAMED
from story import Story, event, output

from ctl.logs import tail_offset


class Logs:
    """Answers `logs` like the broker, of given bytes by attempt and stream; `most` cuts an answer short."""

    def __init__(self, attempts, most=1 << 20, running=False):
        self.attempts = attempts
        self.most = most
        self.running = running

    def __call__(self, request, peer):
        if not self.attempts:
            return {"attempt": None, "offset": 0, "size": 0, "eof": False, "data": "", "encoding": "utf-8"}
        attempt = request.attempt or max(self.attempts)
        data = self.attempts[attempt].get(request.stream, b"")
        part = data[request.offset : request.offset + min(request.length, self.most)]
        return {
            "attempt": attempt,
            "offset": request.offset,
            "size": len(data),
            "eof": not self.running and request.offset + len(part) >= len(data),
            "data": b64encode(part).decode(),
            "encoding": "base64",
        }


BIG = bytes(range(256)) * 3000
TWO = {1: {"stdout": b"one", "stderr": b"first"}, 2: {"stdout": b"two\xff\n", "stderr": BIG}}


def test_both_streams_of_the_last_attempt_raw_and_whole(ctl, broker):
    broker.on("logs", Logs(TWO))
    result = ctl("logs", "42")
    assert (result.code, result.out, result.err) == (0, b"two\xff\n" + BIG, b"")
    assert {request.attempt for request in broker.asked("logs")[1:]} == {2}


def test_one_stream_of_one_attempt(ctl, broker):
    broker.on("logs", Logs(TWO))
    assert ctl("logs", "42", "--stdout").out == b"two\xff\n"
    assert ctl("logs", "42", "--stderr").out == BIG
    assert ctl("logs", "42", "--attempt", "1").out == b"onefirst"
    assert ctl("logs", "42", "--attempt", "1", "--stderr").out == b"first"
    assert ctl("logs", "42", "--stderr", "--stdout").code == 2
    assert ctl("logs", "42", "--attempt", "0").code == 2


def test_a_job_that_never_started_has_no_output(ctl, broker):
    broker.on("logs", Logs({}))
    assert (ctl("logs", "42").out, ctl("logs", "--tail", "3", "42").out) == (b"", b"")


def test_python_gets_the_bytes(client, broker):
    broker.on("logs", Logs(TWO, most=1000))
    assert client.logs(42, "stderr") == BIG
    assert client.logs(42, attempt=1) == b"one"


def test_as_json_each_piece_is_a_line(ctl, broker):
    broker.on("logs", Logs(TWO))
    lines = [json.loads(line) for line in ctl("logs", "42", "--attempt", "1", "--json").out.splitlines()]
    assert lines == [
        {"stream": "stdout", "attempt": 1, "offset": 0, "data": "one", "encoding": "utf-8"},
        {"stream": "stderr", "attempt": 1, "offset": 0, "data": "first", "encoding": "utf-8"},
    ]


LINES = b"".join(b"line %d\n" % number for number in range(20_000))


@pytest.mark.parametrize("most", [1 << 20, 777])
@pytest.mark.parametrize("data", [b"", b"\n", b"a", b"a\n", b"a\nb", b"\n\n\n", LINES, LINES + b"rest", b"x" * 50_000])
@pytest.mark.parametrize("lines", [0, 1, 2, 3, 1500, 30_000])
def test_tail_is_what_tail_gives(data, lines, most):
    logs = Logs({1: {"stdout": data}}, most)

    def read(job, stream, attempt, offset, length):
        class Request:
            pass

        request = Request()
        request.stream, request.attempt, request.offset, request.length = stream, attempt, offset, length
        assert length <= 524_288
        return logs(request, None)

    offset, attempt = tail_offset(read, 42, "stdout", None, lines)
    kept = data.splitlines(keepends=True)
    assert data[offset:] == b"".join(kept[-lines:] if lines else [])
    assert attempt == 1


def test_tail_does_not_read_what_it_does_not_print(ctl, broker):
    broker.on("logs", Logs({1: {"stdout": LINES}}))
    assert ctl("logs", "--tail", "2", "--stdout", "42").out == b"line 19998\nline 19999\n"
    assert sum(request.length for request in broker.asked("logs") if request.offset) < 300_000
    assert ctl("logs", "--tail", "x", "42").code == 2


def test_follow_goes_on_where_the_present_output_ended(ctl, broker):
    broker.on("logs", Logs({1: {"stdout": b"so far\n", "stderr": b"err\n"}}, running=True))

    def follow(request, peer):
        assert (request.attempt, request.stdout, request.stderr) in ((1, 7, 4), (1, 0, 4))
        peer.item(event(1, "submitted", "queued"))
        peer.item(event(2, "running", "running", 1))
        # A careless broker begins again: what was printed is not printed twice.
        peer.item(output(2, "stdout", 1, 0, b"so far\nand on\n"))
        peer.item(event(3, "retrying", "scheduled", 1))
        peer.item(event(4, "running", "running", 2))
        peer.item(output(4, "stderr", 2, 0, b"second\n"))
        peer.item(event(5, "completed", "completed", 2))
        peer.end(5)
        return STREAMED

    broker.on("follow", follow)
    assert ctl("logs", "-f", "42").out == b"so far\nerr\nand on\nsecond\n"
    assert ctl("logs", "-f", "--tail", "0", "42").out == b"and on\nsecond\n"
    assert ctl("logs", "-f", "--stderr", "--tail", "0", "42").code == 0


def test_follow_of_one_attempt_ends_with_it_and_misses_nothing(ctl, broker):
    logs = Logs({1: {"stdout": b"so far\n"}}, running=True)
    broker.on("logs", logs)

    def follow(request, peer):
        peer.item(event(2, "running", "running", 1))
        peer.item(output(2, "stdout", 1, 7, b"more\n"))
        # The end is told before the last bytes: they are read afterwards.
        logs.attempts[1]["stdout"] += b"more\nlast\n"
        peer.item(event(3, "retrying", "scheduled", 1))
        peer.item(event(4, "running", "running", 2))
        return STREAMED

    broker.on("follow", follow)
    assert ctl("logs", "-f", "--attempt", "1", "42").out == b"so far\nmore\nlast\n"


def test_follow_of_an_attempt_that_has_ended_does_not_wait(ctl, broker):
    broker.on("logs", Logs(TWO))
    assert ctl("logs", "-f", "--attempt", "1", "42").out == b"onefirst"
    assert not broker.asked("follow")


def test_follow_of_a_job_that_has_not_begun(ctl, broker):
    broker.on("logs", Logs({}))
    broker.on("follow", Story())
    result = ctl("logs", "-f", "42")
    assert sorted(result.out) == sorted(Story().stdout + Story().stderr)
