"""What the gateway decides by itself, as tables: whose host, which rate, what a submit means, where a webhook may go."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.config.http import split_address
from supervisor.core.errors import RequestError
from supervisor.core.fleet import GATEWAY_DELAYS_S, after_gateway_death
from supervisor.core.names import CODES
from supervisor.core.webhooks import fault_of, is_allowed
from supervisor.gateway import openapi, sender
from supervisor.gateway.api import endpoints
from supervisor.gateway.hooks import LONGEST_PAUSE_S, pause_s
from supervisor.gateway.hosts import is_ours, same_origin
from supervisor.gateway.link import Link
from supervisor.gateway.meter import MOST_QUEUES, OTHERS, Meter
from supervisor.gateway.rate import MOST_ADDRESSES, Buckets
from supervisor.gateway.records import NewJob
from supervisor.gateway.rest import Rest
from supervisor.gateway.scrape import families
from supervisor.gateway.sse import Place, Streams, frame_of
from supervisor.gateway.submission import check_script, fields_of, file_name


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("localhost", True),
        ("LOCALHOST:80", True),
        ("localhost.", True),
        ("127.0.0.1:8080", True),
        ("192.0.2.7", True),
        ("[::1]:8080", True),
        ("[fe80::1%25eth0]", True),
        ("box.example", True),
        ("Box.Example:443", True),
        ("evil.example", False),
        ("box.example.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("127.0.0.1@evil.example", False),
        ("evil.example/127.0.0.1", False),
        ("evil.example#localhost", False),
        ("localhost:x", False),
        ("", False),
        ("[::1", False),
    ],
)
def test_a_host_is_an_address_or_a_name_of_ours(host: str, ours: bool) -> None:
    assert is_ours(host, {"box.example"}) is ours


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1:8080", True),
        ("https://Box.example", "box.example", True),
        ("http://127.0.0.1:8081", "127.0.0.1:8080", False),
        ("http://evil.example", "127.0.0.1:8080", False),
        ("null", "127.0.0.1:8080", False),
        ("file://127.0.0.1:8080", "127.0.0.1:8080", False),
        ("http://[", "127.0.0.1", False),
        ("http://", "", False),
    ],
)
def test_an_origin_is_ours_only_if_it_is_where_the_request_went(origin: str, host: str, same: bool) -> None:
    assert same_origin(origin, host) is same


def test_a_bucket_lets_a_burst_through_and_then_its_rate() -> None:
    buckets = Buckets(10.0)
    assert [buckets.take("a", 0.0) > 0 for _ in range(21)] == [False] * 20 + [True]
    assert buckets.take("a", 0.0) == pytest.approx(0.1)
    assert buckets.take("b", 0.0) == 0.0
    assert buckets.take("a", 0.1) == 0.0
    assert buckets.take("a", 0.1) > 0
    assert Buckets(None).take("a", 0.0) == 0.0


def test_the_addresses_that_are_remembered_are_bounded() -> None:
    buckets = Buckets(1.0)
    for number in range(MOST_ADDRESSES * 2):
        buckets.take(str(number), 0.0)
    assert len(buckets._left) == MOST_ADDRESSES


@pytest.mark.parametrize(
    ("url", "allowed", "may"),
    [
        ("https://a.example/hooks/1", "https://a.example/hooks", True),
        ("https://a.example/hooks", "https://a.example/hooks", True),
        ("https://a.example:443/hooks/", "https://a.example/hooks/", True),
        ("https://A.example/x?y=1", "https://a.example", True),
        ("https://a.example/hooksy", "https://a.example/hooks", False),
        ("http://a.example/hooks/1", "https://a.example/hooks", False),
        ("https://a.example:444/hooks/1", "https://a.example/hooks", False),
        ("https://a.example.evil/hooks/1", "https://a.example", False),
        ("https://a.example@evil.example/", "https://a.example", False),
        ("https://a.example\\@evil.example/", "https://a.example", False),
        ("https://a.example/hooks/../admin", "https://a.example/hooks", False),
        ("https://a.example/hooks/%2e%2e/admin", "https://a.example/hooks", False),
        ("https://a.example/hooks/%252e%252e/admin", "https://a.example/hooks", False),
        ("https://a.example/hooks/%25252e%25252e/admin", "https://a.example/hooks", False),
        ("https://a.example/hooks/..;x/admin", "https://a.example/hooks", False),
        ("https://a.example/hooks/%25zz..", "https://a.example/hooks", True),
        ("ftp://a.example/", "https://a.example", False),
        ("https://a.example/\n", "https://a.example", False),
        ("https://a.example:x/", "https://a.example", False),
    ],
)
def test_a_jobs_webhook_lies_below_what_is_allowed(url: str, allowed: str, may: bool) -> None:
    assert is_allowed(url, [allowed]) is may
    assert is_allowed(url, []) is False


@given(st.text())
def test_whatever_is_no_address_is_refused_in_words(text: str) -> None:
    fault = fault_of(text)
    assert fault is None or fault
    if fault is not None:
        assert not is_allowed(text, ["http://a.example"])


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("localhost:0", ("127.0.0.1", 0)),
        ("[::1]:80", ("::1", 80)),
        ("0.0.0.0:65535", ("0.0.0.0", 65535)),
        ("127.0.0.1", None),
        ("127.0.0.1:65536", None),
        ("127.0.0.1:", None),
        (":8080", None),
        ("box.example:80", None),
        ("::1:80", None),
    ],
)
def test_where_to_listen_is_an_address_and_a_port(text: str, address: tuple[str, int] | None) -> None:
    if address is None:
        with pytest.raises(ValueError):
            split_address(text)
    else:
        assert split_address(text) == address


def new(**members: Any) -> NewJob:
    return msgspec.json.decode(json.dumps(members), type=NewJob)


@pytest.mark.parametrize(
    ("members", "fields"),
    [
        ({}, {}),
        ({"timeout": 30}, {"limits": {"wall_s": 30.0}}),
        ({"timeout": "1h30m", "cpu": None}, {"limits": {"wall_s": 5400.0, "cpu_s": None}}),
        (
            {"memory": "512M", "disk": 7, "output": "none"},
            {"limits": {"memory_bytes": 512 << 20, "disk_bytes": 7, "output_bytes": None}},
        ),
        ({"processes": 20, "open_files": "none"}, {"limits": {"processes": 20, "open_files": None}}),
        ({"delay": "2s"}, {"delay_s": 2.0}),
        ({"at": "2026-01-01T00:00:00Z"}, {"due_at": "2026-01-01T00:00:00Z"}),
        ({"backoff": "1s,3,1m"}, {"backoff": {"base_s": 1.0, "factor": 3.0, "cap_s": 60.0}}),
        ({"after": [3, "4:any"]}, {"after": [{"job": 3, "condition": "ok"}, {"job": 4, "condition": "any"}]}),
        ({"unique": "k", "on_conflict": "refuse"}, {"unique_key": "k", "on_conflict": "refuse"}),
        ({"params": 0}, {"params": 0}),
        ({"params": {"a": []}}, {"params": {"a": []}}),
        ({"merge": True, "network": False, "retries": 0}, {"merge": True, "network": False, "retries": 0}),
        ({"webhook": "https://a.example/"}, {"webhook": "https://a.example/"}),
    ],
)
def test_options_become_the_protocols_fields(members: dict[str, Any], fields: dict[str, Any]) -> None:
    usual = {"queue": "default", "priority": 0, "on_conflict": "return"}
    assert fields_of(new(**members), None) == {**usual, **fields}


@pytest.mark.parametrize(
    ("members", "code", "kind", "name"),
    [
        ({}, b"1", "node", "code.js"),
        ({}, b"#!/bin/sh\n", None, "code"),
        ({"type": "python"}, b"1", "python", "code.py"),
        ({"name": "a.py"}, b"1", None, "a.py"),
        ({"name": "report"}, b"1", "node", "report"),
        ({"type": "resize", "params": 1}, None, "resize", "code"),
    ],
)
def test_code_that_says_nothing_of_itself_is_node(
    members: dict[str, Any], code: bytes | None, kind: str | None, name: str
) -> None:
    options = new(**members)
    assert fields_of(options, code).get("type") == kind
    assert file_name(options, kind) == name


@pytest.mark.parametrize(
    "members", [{"timeout": "soon"}, {"memory": "much"}, {"backoff": "1,x"}, {"backoff": "1,2,3,4"}, {"delay": "-1s"}]
)
def test_a_value_that_means_nothing_is_refused_by_name(members: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match=f"`{next(iter(members))}`"):
        fields_of(new(**members), b"1")


@pytest.mark.parametrize("kind", [None, "python"])
def test_a_missing_script_is_asked_for_by_the_name_that_http_has_for_it(kind: str | None) -> None:
    with pytest.raises(RequestError, match="`code`"):
        check_script(new(type=kind), None)
    check_script(new(type="resize"), None)


def test_a_place_is_what_follow_must_be_told_to_go_on() -> None:
    place = Place(7, 3, None, 0, 0, output=True)
    assert place.fields() == {"job": 7, "after": 3, "output": True, "stdout": 0, "stderr": 0}
    place.passed({"cursor": 4, "event": "running", "attempt": 1})
    place.passed({"cursor": 4, "stream": "stdout", "attempt": 1, "offset": 0, "data": "ä", "encoding": "utf-8"})
    place.passed({"cursor": 4, "stream": "stderr", "attempt": 1, "offset": 0, "data": "/w==", "encoding": "base64"})
    assert place.fields() == {"job": 7, "after": 4, "output": True, "attempt": 1, "stdout": 2, "stderr": 1}
    place.passed({"cursor": 5, "event": "retrying", "attempt": 1})
    place.passed({"cursor": 6, "event": "running", "attempt": 2})
    assert place.fields() == {"job": 7, "after": 6, "output": True, "attempt": 2, "stdout": 0, "stderr": 0}


@given(st.text())
def test_whatever_a_job_prints_stays_one_frame(text: str) -> None:
    frame = frame_of({"stream": "stdout", "attempt": 1, "offset": 0, "data": text, "encoding": "utf-8"})
    event, data, *rest = frame.split(b"\n")
    assert (event, rest) == (b"event: output", [b"", b""])
    assert b"\r" not in data
    assert json.loads(data.removeprefix(b"data: "))["data"] == text


def test_a_signature_is_that_of_the_scheme() -> None:
    # The example of standardwebhooks.com.
    key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    assert sender.signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == (
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )
    plain = base64.b64encode(b"0123456789abcdef").decode()
    assert sender.signature("0123456789abcdef", "i", 1, body) == sender.signature(f"whsec_{plain}", "i", 1, body)


def test_pauses_between_tries_double_up_to_a_limit() -> None:
    assert [pause_s(failures, 0.5) for failures in range(4)] == [1.0, 2.0, 4.0, 8.0]
    assert pause_s(60, 1.0) == LONGEST_PAUSE_S * 1.25


def test_a_gateway_is_never_given_up() -> None:
    streak, delays = 0, []
    for _ in range(12):
        streak, delay_s = after_gateway_death(streak, 0.1)
        delays.append(delay_s)
    assert delays == [*GATEWAY_DELAYS_S, *[GATEWAY_DELAYS_S[-1]] * 4]
    assert after_gateway_death(streak, 60.0) == (1, 0.0)


def test_queues_beyond_the_first_so_many_share_a_label() -> None:
    meter = Meter()
    labels = {meter.queue(f"q{number}") for number in range(MOST_QUEUES + 50)}
    assert len(labels) == MOST_QUEUES + 1
    assert OTHERS in labels
    assert meter.queue("q0") == "q0"


def test_one_paused_queue_among_those_that_share_a_label_is_seen() -> None:
    queues = [
        {"name": f"q{number}", "paused": number == MOST_QUEUES + 3, "jobs": {}} for number in range(MOST_QUEUES + 9)
    ]
    status = {"version": "1", "uptime_s": 1.0, "queues": queues}
    found = {family.name: family for family in families({"status": "healthy"}, status, [], Meter())}
    paused = {sample.labels["queue"]: sample.value for sample in found["workerctl_queue_paused"].samples}
    assert (paused["q0"], paused[OTHERS]) == (0.0, 1.0)


def test_the_document_names_every_operation_and_only_known_codes() -> None:
    link, meter = Link("/nowhere"), Meter()
    table = endpoints(Rest(link, meter), Streams(link, meter, 1.0))
    document = openapi.document(table)
    assert set(document["paths"]) == {one.path for one in table} | {openapi.PATH}
    for one in table:
        assert {*one.refusals} <= set(CODES)
        operation = document["paths"][one.path][one.method.lower()]
        assert operation["summary"]
        assert ("security" in operation) is one.is_open
    text = json.dumps(document)
    for name in document["components"]["schemas"]:
        assert f"#/components/schemas/{name}" in text, f"nothing refers to {name}"
