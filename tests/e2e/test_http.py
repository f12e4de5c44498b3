"""Who may ask the gateway, and what a job is over HTTP from its submit to what it leaves. A real daemon, real requests."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import stat
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.gateway_client import SETTINGS, Http, metrics_of
from tests.harness import Daemon, running_daemon, tree_of, wait_until


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running_daemon(tmp_path_factory.mktemp("http") / "d", SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def http_(daemon: Daemon) -> Http:
    return Http(daemon)


def test_the_gateway_is_a_child_of_the_arbiter_with_its_own_title(daemon: Daemon) -> None:
    wait_until(lambda: "worker-supervisor: gateway" in tree_of(daemon.pid).values(), saying="the gateway's title")
    assert daemon.ask("status")["http"]["state"] == "running"


def test_tokens_and_sockets_are_closed_to_others(daemon: Daemon, http_: Http) -> None:
    assert stat.S_IMODE((daemon.state / "tokens").stat().st_mode) == 0o600
    assert stat.S_IMODE(os.stat(http_.socket).st_mode) == 0o600
    assert pathlib.Path(http_.socket).parent == pathlib.Path(daemon.socket).parent


def test_a_token_is_told_what_it_may_do(daemon: Daemon, http_: Http) -> None:
    assert [Http(daemon, role).get("/token").json() for role in ("read", "write")] == [
        {"role": "read"},
        {"role": "write"},
    ]
    assert httpx.get(f"{http_.url}/token", trust_env=False).status_code == 401


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


@pytest.mark.parametrize("order", [("file", "name"), ("name", "file")])
def test_the_name_of_a_form_wins_over_that_of_its_file_whichever_comes_first(http_: Http, order: tuple) -> None:
    parts = {"file": ("hello.js", "1"), "name": (None, "sum")}
    answer = http_.client.post("/jobs", files=[(name, parts[name]) for name in order])
    assert answer.status_code == 201, answer.text
    assert (answer.json()["name"], answer.json()["type"]) == ("sum", "node")


def test_uploads_that_dribble_hold_up_no_submit(http_: Http) -> None:
    host, _, port = http_.url.removeprefix("http://").partition(":")
    head = (
        f"POST /jobs HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {http_.token}\r\n"
        "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{{"
    )
    with contextlib.ExitStack() as stack:
        for length in (100, 1_000_000):
            for _ in range(20):
                slow = stack.enter_context(socket.create_connection((host, int(port))))
                slow.sendall(head.format(length=length).encode())
        assert http_.get("/health").status_code == 200
        assert http_.client.post("/jobs", json={"code": "1"}, timeout=5).status_code == 201


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
    assert (answer.headers["x-stream-size"], answer.headers["x-stream-ended"]) == ("3000003", "true")
    assert http_.get(f"/jobs/{job}/logs", params={"length": 0}).headers["x-stream-ended"] == "true"
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
        ("GET", f"/jobs/{'9' * 5000}", {}, 404, "unknown_op"),
        ("GET", "/jobs/0", {}, 404, "not_found"),
        ("GET", "/nothing", {}, 404, "unknown_op"),
        ("GET", "/jobs/", {}, 404, "unknown_op"),
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
        ("POST", "/jobs", {"json": {}}, 400, "bad_request"),
        ("POST", "/jobs", {"json": {"type": "python"}}, 400, "bad_request"),
        ("POST", "/jobs", {"json": []}, 400, "bad_request"),
        ("POST", "/jobs", {"content": b"\xff"}, 400, "bad_request"),
        ("POST", "/jobs", {"content": b"[" * 100_000}, 400, "bad_request"),
        ("POST", "/jobs", {"content": b"x", "headers": {"Content-Type": "text/plain"}}, 400, "bad_request"),
        ("POST", "/jobs", {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "bad_request"),
        ("POST", "/jobs", {"content": b"x" * (17 << 20)}, 413, "frame_too_large"),
        ("POST", "/jobs", {"files": {"file": "1"}, "data": {"params": '"\\ud800"'}}, 400, "bad_request"),
        ("POST", "/jobs", {"files": {"file": "1"}, "data": {"params": "1e999"}}, 400, "bad_request"),
        ("POST", "/jobs", {"files": {"file": "1"}, "data": {"params": "[" * 5000}}, 400, "bad_request"),
    ],
)
def test_a_refusal_is_a_problem_with_the_protocols_code(
    http_: Http, method: str, path: str, options: dict[str, Any], status: int, code: str
) -> None:
    answer = http_.client.request(method, path, **options)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


def test_a_wrong_method_is_told_all_that_there_are(http_: Http) -> None:
    for path, methods in (("/jobs", {"GET", "HEAD", "POST"}), ("/jobs/1", {"GET", "HEAD", "DELETE"})):
        answer = http_.client.put(path)
        assert set(answer.headers["allow"].split(", ")) == methods
        assert all(method in answer.json()["detail"] for method in methods)


def test_what_is_no_request_is_a_problem_too(http_: Http) -> None:
    with connection_to(http_) as client:
        client.sendall(b"\x16\x03\x01 this is TLS\r\n\r\n")
        head, _, body = read_all(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request")
    assert b"content-type: application/problem+json" in head
    assert json.loads(body)["code"] == "bad_request"


def test_a_client_that_goes_or_says_too_much_is_no_defect(daemon: Daemon, http_: Http) -> None:
    refused = ("POST", "/jobs", "400")
    before = metrics_of(http_)["workerctl_http_requests_total"].get(refused, 0)
    head = f"Host: localhost\r\nAuthorization: Bearer {http_.token}\r\nContent-Type: application/json\r\n"
    with connection_to(http_) as client:
        client.sendall(f'POST /jobs HTTP/1.1\r\n{head}Content-Length: 99\r\n\r\n{{"code": "'.encode())
    wait_until(
        lambda: metrics_of(http_)["workerctl_http_requests_total"].get(refused, 0) == before + 1, saying="its end"
    )
    with connection_to(http_) as client, contextlib.suppress(ConnectionError):
        client.sendall(f"GET /events HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        for _ in range(17):
            client.sendall(b"100000\r\n" + b"x" * (1 << 20) + b"\r\n")
        assert read_all(client).startswith(b"HTTP/1.1 200 OK")
    wait_until(lambda: metrics_of(http_)["workerctl_http_event_streams"][()] == 0, saying="the end of the stream")
    assert "a defect" not in daemon.words()


def test_the_head_of_a_stream_without_end_has_one(http_: Http) -> None:
    head = f"Host: localhost\r\nAuthorization: Bearer {http_.token}\r\n"
    with connection_to(http_) as client:
        client.sendall(
            f"HEAD /events HTTP/1.1\r\n{head}\r\nGET /token HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode()
        )
        first, _, second = read_all(client).partition(b"\r\n\r\n")
    assert b"content-type: text/event-stream" in first
    assert second.endswith(b'{"role":"write"}')


def connection_to(http_: Http) -> socket.socket:
    host, port = http_.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def read_all(client: socket.socket) -> bytes:
    """What comes until the other side closes."""
    return b"".join(iter(lambda: client.recv(1 << 16), b""))


def test_a_body_without_a_length_is_bounded_too(http_: Http) -> None:
    answer = http_.client.post("/jobs", content=(b"x" * 65536 for _ in range(300)))
    assert (answer.status_code, answer.json()["code"]) == (413, "frame_too_large")


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
