"""Clients that are many, slow, broken or hostile: they get a clear error or a close, and nobody else notices."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import pathlib
import random
import socket
import threading
import time

import pytest

from ctl import Client
from tests.harness import Daemon, wait_until


class Raw:
    """A connection by hand."""

    def __init__(self, daemon: Daemon, timeout_s: float = 10) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(daemon.socket)  # blocking: with a time-out a full backlog would be an error at once
        self.socket.settimeout(timeout_s)
        self.file = self.socket.makefile("rb")

    def send(self, data: bytes) -> Raw:
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return self

    def line(self) -> dict | None:
        """The next answer, None at the end of the connection."""
        try:
            text = self.file.readline()
        except ConnectionResetError:
            return None
        return json.loads(text) if text else None

    def ask(self, **request: object) -> dict:
        answer = self.send(json.dumps({"id": 1, **request}).encode() + b"\n").line()
        assert answer is not None
        return answer

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@pytest.fixture
def raw(daemon: Daemon):
    made: list[Raw] = []

    def connect(timeout_s: float = 10) -> Raw:
        made.append(Raw(daemon, timeout_s))
        return made[-1]

    yield connect
    for one in made:
        one.close()


def answers_quickly(daemon: Daemon) -> float:
    """How long a `status` takes; it must be answered at all."""
    connection = Raw(daemon)
    began = time.monotonic()
    assert connection.ask(op="status")["re"] == "ok"
    took = time.monotonic() - began
    connection.close()
    return took


SUBMIT = b'{"op":"submit","id":1,"request_id":"abcdefgh","source":"1","type":"node"'
BAD_LINES = {
    "random bytes": (b"\xff\xfe\x00garbage", "bad_frame"),
    "not JSON": (b"hello", "bad_frame"),
    "an HTTP request": (b"GET / HTTP/1.1", "bad_frame"),
    "UTF-16": ('{"op":"status","id":1}'.encode("utf-16"), "bad_frame"),
    "a byte order mark": (b'\xef\xbb\xbf{"op":"status","id":1}', "bad_frame"),
    "invalid UTF-8": (b'{"op":"status","id":1,"x":"\xc3\x28"}', ("bad_frame", "bad_request")),
    "a lone surrogate": (SUBMIT + b',"name":"\\ud800"}', "bad_frame"),
    "NaN": (b'{"op":"show","id":1,"job":NaN}', "bad_frame"),
    "infinity": (SUBMIT + b',"limits":{"wall_s":1e999}}', "bad_request"),
    "a number too large": (b'{"op":"show","id":1,"job":99999999999999999999999}', "bad_request"),
    "deep nesting": (b'{"op":"list","id":1,"queue":' + b"[" * 100_000, ("bad_request", "bad_frame")),
    "deep params": (SUBMIT + b',"params":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "bad_frame"),
    "an array": (b"[1,2]", "bad_request"),
    "a number": (b"5", "bad_request"),
    "null": (b"null", "bad_request"),
    "no op": (b'{"id":3}', "bad_request"),
    "an unknown op": (b'{"op":"explode","id":3}', "unknown_op"),
    "no id": (b'{"op":"status"}', "bad_request"),
    "id as text": (b'{"op":"status","id":"1"}', "bad_request"),
    "id as bool": (b'{"op":"status","id":true}', "bad_request"),
    "a negative id": (b'{"op":"status","id":-1}', "bad_request"),
    "an unknown field": (b'{"op":"status","id":1,"extra":1}', "bad_request"),
    "a misspelt limit": (SUBMIT + b',"limits":{"wall":1}}', "bad_request"),
    "a wrong type": (SUBMIT + b',"args":"x"}', "bad_request"),
    "a negative limit": (SUBMIT + b',"limits":{"wall_s":-1}}', "bad_request"),
    "a limit below its floor": (SUBMIT + b',"limits":{"processes":2}}', "below_floor"),
    "priority out of range": (SUBMIT + b',"priority":1001}', "bad_request"),
    "a limit of four hundred digits": (SUBMIT + b',"limits":{"processes":1' + b"0" * 400 + b"}}", "bad_request"),
    "a newline after a queue's name": (SUBMIT + b',"queue":"work\\n"}', "bad_request"),
    "a path as queue": (SUBMIT + b',"queue":"../../x"}', "bad_request"),
    "NUL in an argument": (SUBMIT + b',"args":["a\\u0000b"]}', "bad_request"),
    "a reserved variable": (SUBMIT + b',"env":{"JOB_ID":"7"}}', "bad_request"),
    "an impossible variable": (SUBMIT + b',"env":{"A=B":"7"}}', "bad_request"),
    "arguments too long": (SUBMIT + b',"args":["' + b"x" * 200_000 + b'"]}', "bad_request"),
    "a path out of the folder": (
        SUBMIT.replace(b'"source":"1",', b"") + b',"main":"../x","contents":[]}',
        "bad_request",
    ),
    "a main that is not there": (SUBMIT.replace(b'"source":"1",', b"") + b',"main":"x"}', "bad_request"),
    "content that was not put": (
        SUBMIT.replace(b'"source":"1",', b"") + b',"main":"x","contents":[{"sha256":"' + b"0" * 64 + b'","path":"x"}]}',
        "unknown_source",
    ),
    "a date that is none": (SUBMIT + b',"due_at":"tomorrow-ish"}', "bad_request"),
    "a level that is none": (SUBMIT + b',"isolation":"vault"}', "bad_request"),
    "a job that is none": (b'{"op":"show","id":1,"job":999999}', "not_found"),
    "logs of no job": (b'{"op":"logs","id":1,"job":999999}', "not_found"),
    "an attempt of thirty digits": (b'{"op":"logs","id":1,"job":1,"attempt":' + b"9" * 30 + b"}", "bad_request"),
    "a negative offset": (b'{"op":"logs","id":1,"job":1,"offset":-1}', "bad_request"),
    "protocols we do not speak": (b'{"op":"hello","id":1,"protocol":[7,9]}', "unsupported_version"),
    "a lease op of a stranger": (b'{"op":"next","id":1}', "permission_denied"),
    "a settle of a stranger": (
        b'{"op":"settle","id":1,"lease":1,"outcome":{"reason":"ok","message":""}}',
        "permission_denied",
    ),
}


def test_a_first_line_needs_no_id(raw) -> None:
    connection = raw()
    connection.send(b'{"op":"hello","protocol":[1,1],"client":"workerctl/0.1"}\n')
    answer = connection.line()
    assert (answer["re"], answer["id"], answer["value"]["protocol"]) == ("ok", 0, 1)


@pytest.mark.parametrize("what", BAD_LINES)
def test_a_bad_line_gets_a_clear_error_and_changes_nothing(daemon: Daemon, raw, what: str) -> None:
    line, code = BAD_LINES[what]
    before = daemon.ask("status")["jobs"]
    answer = raw().send(line + b"\n").line()
    assert answer is not None
    assert answer["re"] == "error"
    assert answer["code"] in ([code] if isinstance(code, str) else code), answer
    assert len(answer["message"]) > 10
    assert daemon.ask("status")["jobs"] == before


def test_a_good_request_after_a_bad_one_is_answered(raw) -> None:
    connection = raw()
    assert connection.ask(op="nonsense")["code"] == "unknown_op"
    assert connection.ask(op="status")["re"] == "ok"


def test_an_oversize_line_is_refused_and_the_connection_closed(raw) -> None:
    connection = raw()
    connection.send(b'{"op":"submit","id":1,"source":"' + b"x" * (1 << 21))
    answer = connection.line()
    assert answer is None or answer["code"] == "frame_too_large"
    assert answer is None or connection.line() is None


def test_half_a_frame_then_nothing_is_closed_after_five_seconds(daemon: Daemon, raw) -> None:
    connection = raw(15)
    began = time.monotonic()
    connection.send(b'{"op":"sta')
    answer = connection.line()
    assert answer is not None
    assert answer["code"] == "frame_timeout"
    assert connection.line() is None
    assert 4 < time.monotonic() - began < 9


def test_a_dribbling_client_is_measured_from_its_first_byte(raw) -> None:
    connection = raw(15)
    began = time.monotonic()
    codes = []
    thread = threading.Thread(target=lambda: codes.append(connection.line()))
    thread.start()
    while thread.is_alive() and time.monotonic() - began < 12:
        connection.send(b" ")
        thread.join(0.3)
    thread.join(5)
    assert codes[0]["code"] == "frame_timeout"


def test_a_client_that_is_never_idle_between_lines_is_not_cut(raw) -> None:
    connection = raw()
    line = b'{"op":"health","id":1}\n'
    half = len(line) // 2
    connection.send(line[:half])
    began = time.monotonic()
    while time.monotonic() - began < 6.5:
        connection.send(line[half:] + line[:half])
        assert connection.line()["re"] == "ok"
        time.sleep(0.3)  # the client's pace is what is tested
    connection.send(line[half:])
    assert connection.line()["re"] == "ok"


def test_many_requests_sent_at_once_are_all_answered_however_long_that_takes(daemon: Daemon, raw) -> None:
    job = raw().ask(op="submit", request_id="waited-for-by-many", name="x.js", source="1", delay_s=6)["value"]["job"]
    connection = raw(30)
    connection.send(b"".join(b'{"op":"wait","jobs":[%d],"id":%d}\n' % (job, number) for number in range(1, 1001)))
    ended = set()
    while len(ended) < 1000:
        answer = connection.line()
        assert answer is not None
        assert answer["re"] != "error", answer
        if answer["re"] == "end":
            ended.add(answer["id"])


def test_half_a_frame_then_end_has_no_effect(daemon: Daemon, raw) -> None:
    before = daemon.ask("status")["jobs"]
    connection = raw()
    connection.send(SUBMIT)
    connection.socket.shutdown(socket.SHUT_WR)
    assert connection.line() is None
    assert daemon.ask("status")["jobs"] == before


def test_a_client_that_only_stops_writing_still_gets_its_answers(raw) -> None:
    connection = raw()
    connection.send(b'{"op":"status","id":1}\n{"op":"health","id":2}\n')
    connection.socket.shutdown(socket.SHUT_WR)
    assert {connection.line()["id"], connection.line()["id"]} == {1, 2}
    assert connection.line() is None


def test_a_client_that_died_with_a_request_under_way_holds_no_connection(daemon: Daemon, raw) -> None:
    job = raw().ask(op="submit", request_id="scheduled-for-long", name="x.js", source="1", delay_s=3600)["value"]["job"]
    for _ in range(2):
        dead = [Raw(daemon) for _ in range(300)]
        for connection in dead:
            connection.send(json.dumps({"op": "wait", "id": 1, "jobs": [job]}).encode() + b"\n")
        for connection in dead:
            connection.close()
    assert answers_quickly(daemon) < 2
    half = raw()
    half.send(json.dumps({"op": "wait", "id": 1, "jobs": [job]}).encode() + b"\n")
    half.socket.shutdown(socket.SHUT_WR)
    raw().ask(op="cancel", job=job)
    assert half.line()["value"]["state"] == "cancelled"


def test_three_hundred_idle_connections_disturb_nobody(daemon: Daemon) -> None:
    idle = [Raw(daemon) for _ in range(300)]
    try:
        assert max(answers_quickly(daemon) for _ in range(20)) < 1
        assert idle[0].ask(op="health")["re"] == "ok"
    finally:
        for connection in idle:
            connection.close()


def test_more_connections_than_allowed_push_out_the_longest_idle(daemon: Daemon) -> None:
    idle = [Raw(daemon) for _ in range(600)]
    try:
        assert answers_quickly(daemon) < 2
        assert idle[-1].ask(op="health")["re"] == "ok"
        assert idle[0].line() is None
    finally:
        for connection in idle:
            connection.close()


def test_a_client_that_never_reads_is_dropped_and_others_are_served(daemon: Daemon, raw) -> None:
    flood = raw()
    flood.socket.setblocking(False)
    sent = 0
    request = b'{"op":"describe","id":1}\n'
    deadline = time.monotonic() + 20

    def pushed_out() -> bool:
        nonlocal sent
        try:
            sent += flood.socket.send(request * 100)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return False

    wait_until(pushed_out, 20, "the end of the connection that does not read")
    assert time.monotonic() < deadline
    assert answers_quickly(daemon) < 1


def test_a_client_that_asks_for_much_and_does_not_read_costs_little_and_gets_all_when_it_reads(
    daemon: Daemon, raw, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "wide.js"
    path.write_text("process.stdout.write('x'.repeat(300_000))")
    job = int(daemon.ctl("-q", "submit", "--wait", str(path)).stdout)
    broker = daemon.pid_of(": broker")
    before = usage(broker)[0]
    greedy = raw(30)
    asked = range(1, 301)
    greedy.send(b"".join(b'{"op":"logs","id":%d,"job":%d}\n' % (number, job) for number in asked))
    greatest = 0
    for _ in range(20):
        assert answers_quickly(daemon) < 1
        greatest = max(greatest, usage(broker)[0] - before)
    assert greatest < 16 << 20, f"{greatest >> 20} MiB more for 75 MiB of answers that nobody reads"
    assert [greedy.line()["id"] for _ in asked] == [*asked]


def test_a_follower_that_does_not_read_is_told_lagged_while_another_sees_all(
    daemon: Daemon, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "much.js"
    path.write_text("for(let i=0;i<40000;i++) console.log(String(i).padStart(99,'.'))")
    job = int(daemon.ctl("-q", "submit", str(path)).stdout)
    stalled = Raw(daemon, 30)
    stalled.send(json.dumps({"op": "follow", "id": 1, "job": job}).encode() + b"\n")
    done = daemon.ctl("logs", "-f", str(job))
    assert done.stdout == b"".join(str(i).rjust(99, ".").encode() + b"\n" for i in range(40000))

    time.sleep(6)  # what is tested is a client that does not read for longer than it is waited for
    answers = []
    while (answer := stalled.line()) is not None:
        answers.append(answer)
    assert answers[-1]["re"] == "error"
    assert answers[-1]["code"] == "lagged"
    cursor = answers[-2]["value"]["cursor"]
    assert cursor > 0
    stalled.close()


def test_same_request_id_is_the_same_job_and_other_content_a_conflict(daemon: Daemon, raw) -> None:
    connection = raw()
    fields = {"op": "submit", "request_id": "again-and-again", "name": "x.js", "source": "1"}
    first, second = connection.ask(**fields), connection.ask(**fields)
    assert (first["value"]["created"], second["value"]["created"]) == (True, False)
    assert first["value"]["job"] == second["value"]["job"]
    assert connection.ask(**{**fields, "source": "2"})["code"] == "conflict"


def test_put_is_resumed_verified_and_capped(daemon: Daemon, raw) -> None:
    connection = raw()
    content = os.urandom(300_000)
    sha256 = hashlib.sha256(content).hexdigest()

    def put(offset: int, data: bytes, name: str = sha256, size: int = len(content)) -> dict:
        text = base64.b64encode(data).decode()
        return connection.ask(op="put", sha256=name, size=size, offset=offset, data=text)

    assert put(0, b"")["value"] == {"offset": 0, "complete": False}
    assert put(0, content[:100_000])["value"] == {"offset": 100_000, "complete": False}
    assert put(0, content[:100_000])["value"] == {"offset": 100_000, "complete": False}
    assert put(100_000, content[100_000:])["value"] == {"offset": 300_000, "complete": True}
    assert put(0, b"")["value"] == {"offset": 300_000, "complete": True}
    assert put(0, b"", size=5)["code"] == "bad_request"
    assert put(0, b"abc", "0" * 64, 3)["code"] == "bad_request"
    assert put(0, b"", "1" * 64, 1 << 40)["code"] == "above_maximum"
    assert not [name for name in os.listdir(daemon.state / "spool") if name.endswith(".part")]


def test_fuzzed_frames_never_stop_the_daemon(daemon: Daemon) -> None:
    dice = random.Random(7)
    seeds = [line for line, _ in BAD_LINES.values() if len(line) < 4096] + [
        b'{"op":"status","id":1}',
        b'{"op":"follow","id":1,"job":1}',
        b'{"op":"wait","id":1,"jobs":[1],"timeout_s":0}',
    ]
    for _ in range(300):
        connection = Raw(daemon, 2)
        for _ in range(dice.randrange(1, 6)):
            line = bytearray(dice.choice(seeds))
            for _ in range(dice.randrange(0, 4)):
                line[dice.randrange(len(line))] = dice.randrange(256)
            connection.send(bytes(line) + b"\n" * dice.randrange(2))
        connection.close()
    assert answers_quickly(daemon) < 1
    tracebacks = [line for line in daemon.words().splitlines() if "Traceback" in line]
    assert not tracebacks, tracebacks[0][:3000]


def test_two_hundred_jobs_of_eight_clients_each_have_their_own_output(daemon: Daemon, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "own.js"
    path.write_text("for(let i=0;i<20;i++) console.log(process.argv[2], i)")
    broker, arbiter = daemon.pid_of(": broker"), daemon.pid

    def submit_25(number: int) -> None:
        with Client(socket=daemon.socket) as client:
            for i in range(25):
                word = f"{number}-{i}"
                jobs[word] = client.submit(str(path), args=[word])

    jobs: dict[str, object] = {}
    warm_up = tmp_path / "warm.js"
    warm_up.write_text("1")
    for _ in range(3):
        daemon.ctl("run", str(warm_up))
    before = usage(broker), usage(arbiter)
    threads = [threading.Thread(target=submit_25, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(jobs) == 200
    with daemon.client() as client:
        for word, job in jobs.items():
            ended = client.wait(job, timeout=120)
            assert ended.state == "completed", ended.raw
            assert client.logs(job) == "".join(f"{word} {i}\n" for i in range(20)).encode()
    wait_until(lambda: usage(broker)[1] <= before[0][1], 5, f"fds of the broker: {before[0]} -> {usage(broker)}")
    assert usage(arbiter)[1] <= before[1][1]
    assert usage(arbiter)[0] - before[1][0] < 2 << 20
    assert usage(broker)[0] - before[0][0] < 16 << 20, (before, usage(broker))


def usage(pid: int) -> tuple[int, int]:
    """Resident bytes and open fds (0 where only root may look: the daemon's processes are not dumpable)."""
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    fds = len(os.listdir(f"/proc/{pid}/fd")) if os.geteuid() == 0 else 0
    return pages * os.sysconf("SC_PAGE_SIZE"), fds


def test_a_list_of_large_jobs_comes_in_pages_that_fit_into_a_line(daemon: Daemon, raw) -> None:
    connection = raw()
    for number in range(12):
        big = {"x": "y" * 100_000}
        answer = connection.ask(
            op="submit", request_id=f"large-job-{number}", name="l.js", source="1", env=big, queue="large", delay_s=3600
        )
        assert answer["re"] == "ok", answer
    pages, before = [], None
    while True:
        fields = {"before": before} if before else {}
        answer = connection.ask(op="list", queue="large", limit=5, **fields)
        assert len(json.dumps(answer)) < 1 << 20
        pages.append([job["id"] for job in answer["value"]["jobs"]])
        before = answer["value"]["next"]
        if before is None:
            break
    ids = [job for page in pages for job in page]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == 12
    for job in ids:
        connection.ask(op="cancel", job=job)


def test_one_connection_waits_for_so_many_jobs_and_no_more(raw) -> None:
    connection = raw(30)
    jobs = [{"request_id": f"awaited-{n}", "name": "a.js", "source": "1", "delay_s": 3600} for n in range(1000)]
    ids = [one["job"] for one in connection.ask(op="submit_many", jobs=jobs)["value"]["jobs"]]
    waiting = raw(30)
    waiting.send(b"".join(json.dumps({"op": "wait", "id": n, "jobs": ids}).encode() + b"\n" for n in range(51)))
    refused = waiting.line()
    assert (refused["id"], refused["code"]) == (50, "busy")
    assert connection.ask(op="wait", jobs=ids, timeout_s=0)["code"] == "wait_timeout"


def test_looking_through_many_jobs_for_few_holds_up_nobody(raw) -> None:
    connection = raw(30)
    for start in range(0, 10_000, 1000):
        jobs = [
            {"request_id": f"one-of-many-{number}", "name": "m.js", "source": "1", "delay_s": 3600}
            for number in range(start, start + 1000)
        ]
        assert connection.ask(op="submit_many", jobs=jobs)["re"] == "ok"
    looking = raw(30)
    asked = range(1, 101)
    looking.send(b"".join(b'{"op":"list","id":%d,"name":"nobody"}\n' % number for number in asked))
    for _ in range(3):
        assert connection.ask(op="status")["re"] == "ok"
    looking.socket.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        assert looking.socket.recv(1 << 20, socket.MSG_PEEK).count(b"\n") < len(asked) // 2
    looking.socket.settimeout(30)
    assert [looking.line()["value"] for _ in asked] == [{"jobs": [], "next": None}] * len(asked)


def test_descriptors_that_a_client_sends_are_refused(daemon: Daemon, raw) -> None:
    """One that lingers would hold up whoever drops it last: the broker."""
    client = raw()
    try:
        socket.socketpair()[0].getsockopt(socket.SOL_SOCKET, 83)  # SO_PASSRIGHTS
    except OSError:
        pytest.skip("this kernel cannot refuse descriptors (before Linux 6.16)")
    with pytest.raises(PermissionError), open(os.devnull, "rb") as file:
        socket.send_fds(client.socket, [b'{"op":"health","id":1}\n'], [file.fileno()])
    assert client.ask(op="health")["re"] == "ok"
