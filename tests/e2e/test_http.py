"""HTTP from outside: a real daemon, its gateway, real requests. What it answers, to whom, and what it survives."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import signal
import socket
import stat
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.harness import Daemon, running_daemon, title_of, tree_of, wait_until

SETTINGS = '[http]\nlisten = "127.0.0.1:0"\nrate = "none"\nheartbeat = "200ms"\n'
TICKS = "let n = 0; const t = setInterval(() => { console.log('tick', ++n); if (n === {n}) clearInterval(t) }, 20)"


class Http:
    """A client of a daemon's gateway, with a token."""

    def __init__(self, daemon: Daemon, role: str = "write") -> None:
        self.daemon = daemon
        found = json.loads(daemon.ctl("token", "--role", role, "--json").stdout)
        self.url, self.token, self.socket = found["url"].rstrip("/"), found["token"], found["socket"]
        self.client = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, timeout=30, trust_env=False
        )

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(path, **options)

    def submit(self, code: str, **options: Any) -> int:
        answer = self.client.post("/jobs", json={"code": code, **options})
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    def wait(self, job: int) -> dict[str, Any]:
        """The job's record once it is final."""
        assert self.daemon.ctl("wait", str(job)).returncode in (0, 1)
        return dict(self.get(f"/jobs/{job}").json())

    def frames(self, path: str, **headers: str) -> list[dict[str, Any]]:
        """The frames of a stream that ends by itself."""
        with self.client.stream("GET", path, headers=headers) as answer:
            assert answer.status_code == 200, answer.read()
            assert answer.headers["content-type"].startswith("text/event-stream")
            return list(frames_of(answer.iter_lines()))


def frames_of(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """The frames, as a browser would take them apart; comments are left out."""
    frame: dict[str, Any] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if not line:
            if frame:
                yield frame
            frame = {}
            continue
        name, _, value = line.partition(": ")
        frame[name] = json.loads(value) if name in ("data", "id") else value


def output_of(frames: list[dict[str, Any]], stream: str = "stdout", attempt: int = 1) -> bytes:
    """A stream's bytes; every piece must begin where the one before it ended."""
    text = b""
    for frame in frames:
        piece = frame["data"]
        if frame["event"] == "output" and (piece["stream"], piece["attempt"]) == (stream, attempt):
            assert piece["offset"] == len(text), f"a gap or a repeat at {len(text)}: {piece}"
            text += base64.b64decode(piece["data"]) if piece["encoding"] == "base64" else piece["data"].encode()
    return text


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running_daemon(tmp_path_factory.mktemp("http") / "d", SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def http_(daemon: Daemon) -> Http:
    return Http(daemon)


# Who may ask


def test_the_gateway_is_a_child_of_the_arbiter_with_its_own_title(daemon: Daemon) -> None:
    wait_until(lambda: "worker-supervisor: gateway" in tree_of(daemon.pid).values(), saying="the gateway's title")
    assert daemon.ask("status")["http"]["state"] == "running"


def test_tokens_and_sockets_are_closed_to_others(daemon: Daemon, http_: Http) -> None:
    assert stat.S_IMODE((daemon.state / "tokens").stat().st_mode) == 0o600
    assert stat.S_IMODE(os.stat(http_.socket).st_mode) == 0o600
    assert pathlib.Path(http_.socket).parent == pathlib.Path(daemon.socket).parent


def test_the_token_is_alone_on_stdout_and_the_url_carries_it_in_its_fragment(daemon: Daemon, http_: Http) -> None:
    assert daemon.ctl("token").stdout.decode() == http_.token + "\n"
    assert daemon.ctl("token", "--url").stdout.decode() == f"{http_.url}/#token={http_.token}\n"
    tokens = {role: daemon.ctl("token", "--role", role).stdout for role in ("read", "write", "webhook")}
    assert len(set(tokens.values())) == 3


@pytest.mark.parametrize(
    "path", ["/jobs", "/jobs/1", "/stats", "/workers", "/queues", "/metrics", "/openapi.json", "/events", "/nothing"]
)
@pytest.mark.parametrize("sent", ["", "Bearer wrong", "Basic {token}", "Bearer", "Bearer {token}x"])
def test_without_the_right_token_nothing_is_told(http_: Http, path: str, sent: str) -> None:
    headers = {"Authorization": sent.replace("{token}", http_.token)} if sent else {}
    answer = httpx.get(f"{http_.url}{path}", headers=headers, trust_env=False)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "unauthorized"


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/"])
def test_health_and_the_page_are_open(http_: Http, path: str) -> None:
    assert httpx.get(f"{http_.url}{path}", trust_env=False).status_code == 200


def test_a_token_that_may_read_may_not_change(daemon: Daemon, http_: Http) -> None:
    reader = Http(daemon, "read")
    assert reader.get("/jobs").status_code == 200
    for answer in (
        reader.client.post("/jobs", json={"code": "1"}),
        reader.client.delete("/jobs/1"),
        reader.client.post("/jobs/1/retry"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "", "127.0.0.1@evil.example"]
)
def test_a_name_that_is_not_ours_is_refused_whoever_asks(http_: Http, host: str) -> None:
    answer = http_.get("/health", headers={"Host": host})
    assert answer.status_code in (400, 403)
    assert "healthy" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "localhost:1234", "127.0.0.1", "[::1]:8080", "192.0.2.7:80"])
def test_addresses_and_localhost_are_ours(http_: Http, host: str) -> None:
    assert http_.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:1", "file://"])
def test_a_page_of_elsewhere_may_not_ask(http_: Http, origin: str) -> None:
    answer = http_.client.post("/jobs", json={"code": "1"}, headers={"Origin": origin})
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    assert "access-control-allow-origin" not in answer.headers


def test_the_page_itself_may(http_: Http) -> None:
    assert http_.get("/jobs", headers={"Origin": http_.url}).status_code == 200


def test_nothing_is_sniffed_framed_or_loaded_from_elsewhere(http_: Http) -> None:
    page = http_.get("/")
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["x-frame-options"] == "DENY"
    again = http_.get("/", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert http_.get("/jobs").headers["cache-control"] == "no-store"


def test_on_the_unix_socket_it_answers_too(http_: Http) -> None:
    transport = httpx.HTTPTransport(uds=http_.socket)
    with httpx.Client(transport=transport, base_url="http://anything") as client:
        assert client.get("/health").json()["status"] == "healthy"
        assert client.get("/jobs").status_code == 401
        assert client.get("/jobs", headers={"Authorization": f"Bearer {http_.token}"}).status_code == 200


# REST


def test_a_job_from_submit_to_its_result(http_: Http) -> None:
    answer = http_.client.post(
        "/jobs",
        json={
            "code": "console.log(2+2, ...process.argv.slice(2)); console.error('e'); process.send({type:'result',value:{k:[1]}})",
            "args": ["a", "b"],
            "timeout": "1m30s",
            "memory": "256M",
            "queue": "web",
            "name": "sum",
        },
    )
    assert answer.status_code == 201
    job = answer.json()
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    assert (job["name"], job["type"], job["queue"], job["created"]) == ("sum", "node", "web", True)
    assert (job["limits"]["wall_s"], job["limits"]["memory_bytes"]) == (90.0, 256 << 20)
    assert http_.wait(job["id"])["state"] == "completed"
    at = f"/jobs/{job['id']}"
    assert http_.get(f"{at}/result").json() == {"k": [1]}
    assert http_.get(f"{at}/logs").content == b"4 a b\n"
    assert http_.get(f"{at}/logs", params={"stream": "stderr"}).content == b"e\n"
    assert http_.get(f"{at}/logs", params={"offset": 2, "length": 2}).content == b"a "
    assert job["id"] in [one["id"] for one in http_.get("/jobs", params={"queue": "web"}).json()["jobs"]]
    assert http_.get("/stats").json()["jobs"]["completed"] >= 1
    assert [one["pool"] for one in http_.get("/workers").json()["workers"]] == ["scripts"] * 2
    assert "web" in [one["name"] for one in http_.get("/queues").json()["queues"]]


@pytest.mark.parametrize("timeout", [30, 30.0, "30", "30s", "0.5m"])
def test_a_timeout_is_seconds_or_a_duration(http_: Http, timeout: object) -> None:
    assert http_.client.post("/jobs", json={"code": "1", "timeout": timeout}).json()["limits"]["wall_s"] == 30.0


def test_a_form_with_a_file(http_: Http) -> None:
    script = b"import sys, os; print(sys.argv[1:], os.environ['K'])"
    answer = http_.client.post(
        "/jobs",
        files={"file": ("dir/hello.py", script)},
        data={"timeout": "20", "args": '["x y"]', "env": '{"K": "v"}', "retries": "1", "merge": "true", "stdin": "7"},
    )
    assert answer.status_code == 201, answer.text
    job = answer.json()
    assert (job["name"], job["type"], job["retries"], job["limits"]["wall_s"]) == ("hello.py", "python", 1, 20.0)
    http_.wait(job["id"])
    assert http_.get(f"/jobs/{job['id']}/logs").content == b"['x y'] v\n"


def test_a_script_too_large_for_a_line_and_one_that_is_no_text(http_: Http) -> None:
    large = "//" + "x" * 700_000 + "\nconsole.log('large')"
    assert http_.wait(http_.submit(large))["state"] == "completed"
    binary = b"#!/bin/sh\necho \xff\xfe ok\n"
    answer = http_.client.post("/jobs", files={"file": ("run", binary)})
    assert answer.status_code == 201, answer.text
    assert http_.wait(answer.json()["id"])["state"] == "completed"
    assert http_.get(f"/jobs/{answer.json()['id']}/logs").content == b"\xff\xfe ok\n"


def test_output_comes_raw_and_whole(http_: Http) -> None:
    job = http_.submit("process.stdout.write(Buffer.alloc(3000000, 0xff)); process.stdout.write('end')")
    http_.wait(job)
    answer = http_.get(f"/jobs/{job}/logs")
    assert answer.content == b"\xff" * 3_000_000 + b"end"
    assert answer.headers["x-stream-size"] == "3000003"
    assert http_.get(f"/jobs/{job}/logs", params={"offset": 3_000_000}).content == b"end"


def test_artifacts_by_whatever_name_the_job_gave_them(http_: Http) -> None:
    job = http_.submit(
        "const fs=require('fs'), o=process.env.JOB_OUTPUT_DIR; fs.mkdirSync(o+'/a b');"
        "fs.writeFileSync(o+'/a b/ü?.bin', Buffer.alloc(1200000, 7)); fs.writeFileSync(Buffer.from(o+'/caf\\xe9','latin1'), 'x')"
    )
    http_.wait(job)
    kept = http_.get(f"/jobs/{job}/artifacts").json()
    assert {one["size"] for one in kept["artifacts"]} == {1_200_000, 1}
    answer = http_.get(f"/jobs/{job}/artifacts/a%20b/%C3%BC%3F.bin")
    assert answer.content == b"\7" * 1_200_000
    assert answer.headers["content-disposition"].startswith("attachment")
    assert http_.get(f"/jobs/{job}/artifacts/caf%E9").content == b"x"
    assert http_.get(f"/jobs/{job}/artifacts/none").json()["code"] == "not_found"
    assert http_.get(f"/jobs/{job}/artifacts/..%2f..%2fetc%2fpasswd").status_code == 404


def test_cancel_and_retry(http_: Http) -> None:
    job = http_.submit("setTimeout(() => {}, 60000)")
    assert http_.client.post(f"/jobs/{job}/retry").json()["code"] == "wrong_state"
    assert http_.client.delete(f"/jobs/{job}", params={"reason": "enough"}).status_code == 200
    assert http_.wait(job)["state"] == "cancelled"
    again = http_.client.post(f"/jobs/{job}/retry")
    assert (again.status_code, again.json()["state"] in ("queued", "running")) == (200, True)
    assert http_.client.delete(f"/jobs/{job}").status_code == 200


def test_the_same_submit_again_is_the_same_job(http_: Http) -> None:
    body = {"code": "1", "request_id": "http-test-0001"}
    first, second = (http_.client.post("/jobs", json=body) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    other = http_.client.post("/jobs", json={"code": "2"}, headers={"Idempotency-Key": "http-test-0001"})
    assert (other.status_code, other.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code"),
    [
        ("GET", "/jobs/999999", {}, 404, "not_found"),
        ("GET", "/jobs/999999/events", {}, 404, "not_found"),
        ("GET", "/jobs/99999999999999999999", {}, 404, "not_found"),
        ("GET", "/jobs/0", {}, 404, "not_found"),
        ("GET", "/nothing", {}, 404, "unknown_op"),
        ("PUT", "/jobs", {}, 405, "unknown_op"),
        ("GET", "/jobs", {"params": {"limit": "x"}}, 400, "bad_request"),
        ("GET", "/jobs", {"params": {"stat": "queued"}}, 400, "bad_request"),
        ("GET", "/jobs", {"params": {"state": "lost"}}, 400, "bad_request"),
        ("GET", "/events", {"headers": {"Last-Event-ID": "x"}}, 400, "bad_request"),
        ("POST", "/jobs", {"json": {"code": "1", "timout": 3}}, 400, "bad_request"),
        ("POST", "/jobs", {"json": {"code": "1", "timeout": "soon"}}, 400, "bad_request"),
        ("POST", "/jobs", {"json": {"code": "1", "memory": "1K"}}, 422, "below_floor"),
        ("POST", "/jobs", {"json": {"code": "1", "webhook": "http://127.0.0.1/"}}, 403, "not_allowed"),
        ("POST", "/jobs", {"json": {"code": 1}}, 400, "bad_request"),
        ("POST", "/jobs", {"json": []}, 400, "bad_request"),
        ("POST", "/jobs", {"content": b"\xff"}, 400, "bad_request"),
        ("POST", "/jobs", {"content": b"[" * 100_000}, 400, "bad_request"),
        ("POST", "/jobs", {"content": b"x", "headers": {"Content-Type": "text/plain"}}, 400, "bad_request"),
        ("POST", "/jobs", {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "bad_request"),
        ("POST", "/jobs", {"content": b"x" * (17 << 20)}, 413, "frame_too_large"),
    ],
)
def test_a_refusal_is_a_problem_with_the_protocols_code(
    http_: Http, method: str, path: str, options: dict[str, Any], status: int, code: str
) -> None:
    answer = http_.client.request(method, path, **options)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


def test_a_body_without_a_length_is_bounded_too(http_: Http) -> None:
    answer = http_.client.post("/jobs", content=(b"x" * 65536 for _ in range(300)))
    assert (answer.status_code, answer.json()["code"]) == (413, "frame_too_large")


# Events


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


def test_connections_that_send_no_head_are_closed(http_: Http) -> None:
    host, port = http_.url.removeprefix("http://").split(":")
    silent, slow = socket.create_connection((host, int(port))), socket.create_connection((host, int(port)))
    slow.sendall(b"GET / HTTP/1.1\r\nHos")
    for client in (silent, slow):
        client.settimeout(40)
        assert client.recv(1) == b""
        client.close()


# Metrics


def metrics_of(http_: Http) -> dict[str, dict[tuple[str, ...], float]]:
    """The samples by name and by their labels' values, in the order of the labels' names."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(http_.get("/metrics").text):
        for sample in family.samples:
            values = tuple(sample.labels[name] for name in sorted(sample.labels))
            found.setdefault(sample.name, {})[values] = sample.value
    return found


def rss_kib(pid: int) -> int:
    text = pathlib.Path(f"/proc/{pid}/statm").read_text()
    return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 10


def test_metrics_follow_the_conventions_and_count(daemon: Daemon, http_: Http) -> None:
    before = metrics_of(http_)
    http_.wait(http_.submit("process.exit(5)", queue="metered"))
    ended = ("scripts", "metered", "exit", "failed")
    wait_until(lambda: ended in metrics_of(http_)["workerctl_jobs_finished_total"], saying="the count of the job")
    after = metrics_of(http_)
    assert after["workerctl_up"] == {(): 1.0}
    assert after["workerctl_jobs"][("metered", "failed")] == 1.0
    assert after["workerctl_job_run_seconds_count"][("scripts", "metered", "exit")] == 1.0
    assert after["workerctl_job_wait_seconds_count"][("scripts", "metered")] == 1.0
    failed = ("scripts", "failed")
    assert after["workerctl_attempts_total"][failed] == before["workerctl_attempts_total"][failed] + 1
    for family in text_string_to_metric_families(http_.get("/metrics").text):
        assert family.name.startswith("workerctl_") and family.documentation and family.type != "unknown"
    modern = http_.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert modern.headers["content-type"].startswith("application/openmetrics-text")
    assert modern.text.endswith("# EOF\n")


# What dies


def test_the_gateway_is_killed_during_a_stream_and_nothing_is_missed(make_daemon: Any) -> None:
    daemon = make_daemon(settings=SETTINGS).start()
    http_ = Http(daemon)
    job = http_.submit(TICKS.replace("{n}", "100"))
    seen: list[dict[str, Any]] = []
    killed = 0
    while not seen or seen[-1]["event"] != "completed":
        last = max((frame["id"] for frame in seen if "id" in frame), default=0)
        place = f"?attempt=1&stdout={len(output_of(seen))}" if seen else ""
        try:
            with http_.client.stream(
                "GET", f"/jobs/{job}/events{place}", headers={"Last-Event-ID": str(last)}
            ) as answer:
                for frame in frames_of(answer.iter_lines()):
                    seen.append(frame)
                    if len(output_of(seen)) > 200 * (killed + 1) and killed < 3:
                        killed += 1
                        os.kill(daemon.pid_of("gateway"), signal.SIGKILL)
        except httpx.HTTPError:
            continue
    assert killed == 3
    assert output_of(seen) == b"".join(b"tick %d\n" % n for n in range(1, 101))
    ids = [frame["id"] for frame in seen if "id" in frame]
    assert ids == sorted(set(ids))
    wait_until(lambda: daemon.ask("status")["http"]["restarts"] == 3, saying="the third restart")
    assert http_.get(f"/jobs/{job}").json()["state"] == "completed"


def test_the_broker_is_killed_during_a_stream_and_its_reader_does_not_notice(make_daemon: Any) -> None:
    daemon = make_daemon(settings=SETTINGS).start()
    http_ = Http(daemon)
    job = http_.submit(TICKS.replace("{n}", "100"))
    frames = []
    killed = False
    with http_.client.stream("GET", f"/jobs/{job}/events") as answer:
        for frame in frames_of(answer.iter_lines()):
            frames.append(frame)
            if not killed and len(output_of(frames)) > 100:
                killed = True
                os.kill(daemon.pid_of("broker"), signal.SIGKILL)
                # Asked while there is none: the answer waits for the next one.
                assert http_.get(f"/jobs/{job}").status_code == 200
    assert killed
    assert output_of(frames) == b"".join(b"tick %d\n" % n for n in range(1, 101))
    ids = [frame["id"] for frame in frames if "id" in frame]
    assert ids == sorted(set(ids))
    assert frames[-1]["event"] == "completed"


def test_a_supervisor_that_is_killed_takes_the_gateway_with_it_and_the_next_one_serves_again(make_daemon: Any) -> None:
    daemon = make_daemon(settings=SETTINGS).start()
    token = Http(daemon).token
    gateway = daemon.pid_of("gateway")
    daemon.kill()
    wait_until(lambda: "gateway" not in title_of(gateway), 5, "the gateway's end")
    daemon.start()
    http_ = Http(daemon)
    assert http_.token == token
    assert http_.get("/jobs").status_code == 200


def test_an_upgrade_keeps_the_address(make_daemon: Any) -> None:
    daemon = make_daemon(settings=SETTINGS).start()
    http_ = Http(daemon)
    before = daemon.pid_of("gateway")
    assert daemon.ctl("upgrade").returncode == 0
    wait_until(lambda: daemon.ask("status")["http"]["pid"] not in (before, None), 20, "another gateway")
    assert http_.get("/health").status_code == 200
    assert daemon.ask("status")["http"]["url"].rstrip("/") == http_.url


def test_a_reload_gives_the_gateway_other_settings(make_daemon: Any) -> None:
    daemon = make_daemon(settings=SETTINGS).start()
    http_ = Http(daemon)
    assert http_.get("/health", headers={"Host": "box.example"}).status_code == 403
    daemon.settings.write_text(SETTINGS + 'hosts = ["box.example"]\n')
    assert daemon.ask("reload")["changed"] == ["http.hosts"]
    wait_until(lambda: _status_for(http_, "box.example") == 200, 10, "the new settings")
    daemon.settings.write_text(SETTINGS.replace("127.0.0.1:0", "127.0.0.1:1"))
    assert daemon.ask("reload")["needs_restart"] == ["http.listen"]


def _status_for(http_: Http, host: str) -> int:
    try:
        return http_.get("/health", headers={"Host": host}).status_code
    except httpx.HTTPError:
        return 0


def test_an_address_in_use_is_an_error_of_the_start(make_daemon: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        daemon = make_daemon(settings=f'[http]\nlisten = "127.0.0.1:{taken.getsockname()[1]}"\n')
        daemon.start(wait=False)
        assert daemon.process is not None and daemon.process.wait(30) == 2
        assert "http.listen" in daemon.words() and "in use" in daemon.words()


def test_without_http_there_is_no_gateway_and_no_token(make_daemon: Any) -> None:
    daemon = make_daemon().start()
    assert not any("gateway" in title for title in tree_of(daemon.pid).values())
    refused = daemon.ctl("token")
    assert (refused.returncode, refused.stdout) == (6, b"")
    assert b"http.listen" in refused.stderr


def test_too_many_requests_are_refused(make_daemon: Any) -> None:
    daemon = make_daemon(settings='[http]\nlisten = "127.0.0.1:0"\nrate = 5\n').start()
    http_ = Http(daemon)
    answers = [http_.get("/health") for _ in range(40)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused and len(refused) < 40
    assert refused[0].json()["code"] == "rate_limited"
    assert "retry-after" in refused[0].headers
    wait_until(lambda: http_.get("/health").status_code == 200, 10, "more tokens")


# Webhooks


class Receiver:
    """An address that webhooks go to; answers what it is told, in turn, then 200."""

    def __init__(self, *answers: int) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self._answers = list(answers)
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(receiver._answers.pop(0) if receiver._answers else 200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def jobs(self) -> list[int]:
        return [json.loads(body)["data"]["job"]["id"] for _, body in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver(500)
    yield one
    one.close()


def test_a_webhook_is_signed_retried_and_outlives_the_gateway(make_daemon: Any, receiver: Receiver) -> None:
    settings = f'{SETTINGS}webhook_urls = ["{receiver.url}/jobs/"]\n[[webhooks]]\nurl = "{receiver.url}/all"\non = ["failed"]\n'
    daemon = make_daemon(settings=settings).start()
    http_ = Http(daemon)
    key = daemon.ctl("token", "--role", "webhook").stdout.decode().strip()
    fails = http_.submit("process.exit(3)", name="fails.js")
    wait_until(lambda: len(receiver.got) == 2, 15, "the second try")
    (first, body), (second, again) = receiver.got
    assert body == again and first["webhook-id"] == second["webhook-id"]
    message = json.loads(body)
    assert (message["type"], message["data"]["job"]["id"]) == ("job.failed", fails)
    assert (message["data"]["job"]["reason"], message["data"]["job"]["exit_code"]) == ("exit", 3)
    signed = f"{second['webhook-id']}.{second['webhook-timestamp']}.".encode() + again
    mac = hmac.new(base64.b64decode(key.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    assert second["webhook-signature"] == "v1," + base64.b64encode(mac).decode()

    # Of those that complete only a job's own address hears.
    silent = http_.submit("1")
    own = int(daemon.ctl("submit", "-q", "-", "--webhook", f"{receiver.url}/jobs/1", stdin=b"1").stdout)
    wait_until(lambda: own in receiver.jobs(), 15, "the job's own webhook")
    http_.wait(silent)
    assert silent not in receiver.jobs()
    refused = daemon.ctl("submit", "-", "--webhook", f"{receiver.url}/other", stdin=b"1")
    assert refused.returncode == 6 and b"http.webhook_urls" in refused.stderr

    # While there is no gateway: what ends meanwhile is told later.
    wait_until(lambda: (daemon.state / "webhooks").exists(), 5, "the ledger")
    os.kill(daemon.pid_of("gateway"), signal.SIGKILL)
    missed = int(daemon.ctl("submit", "-q", "-", "--webhook", f"{receiver.url}/jobs/2", stdin=b"1").stdout)
    wait_until(lambda: missed in receiver.jobs(), 20, "the webhook of a job that ended meanwhile")
    assert stat.S_IMODE((daemon.state / "webhooks").stat().st_mode) == 0o600
