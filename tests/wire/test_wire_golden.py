"""One golden frame for each message. They are only ever added to: what was once sent must be understood for ever."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import msgspec
import pytest

from supervisor.broker.ops import OPS as ANSWERED_OPS
from supervisor.broker.ops import STREAMS, WORKER_OPS
from supervisor.core.errors import RequestError
from supervisor.wire import codec
from supervisor.wire.codec import OPS, decode_from_arbiter, decode_from_broker, decode_request, encode
from supervisor.wire.lease import Lease, Leased, Order, Settled
from supervisor.wire.tree import ArbiterMessage, BrokerMessage

GOLDEN = pathlib.Path(__file__).parent / "golden"
REQUESTS = [json.loads(line) for line in (GOLDEN / "requests.jsonl").read_text().splitlines()]
ANSWERS = [json.loads(line) for line in (GOLDEN / "answers.jsonl").read_text().splitlines()]
FROM_BROKER = {struct.__struct_config__.tag for struct in BrokerMessage.__args__}
TREE = [json.loads(line) for line in (GOLDEN / "tree.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("frame", REQUESTS, ids=lambda frame: frame["op"])
def test_a_golden_request_is_understood_and_loses_nothing(frame: dict) -> None:
    request = decode_request(json.dumps(frame).encode())
    again = json.loads(encode(request))
    assert_kept(frame, again)


def assert_kept(frame: Any, again: Any) -> None:
    """All of `frame` is in `again`, which may have more: fields are only ever added."""
    if isinstance(frame, dict):
        for key, value in frame.items():
            assert_kept(value, again[key])
    elif isinstance(frame, list):
        for value, other in zip(frame, again, strict=True):
            assert_kept(value, other)
    else:
        assert again == frame


def test_every_operation_has_a_golden_frame_and_a_handler() -> None:
    assert {frame["op"] for frame in REQUESTS} == set(OPS)
    assert {*ANSWERED_OPS, *STREAMS, *WORKER_OPS} == set(OPS.values())


@pytest.mark.parametrize("frame", ANSWERS, ids=lambda frame: f"{frame['re']}-{frame['id']}")
def test_a_golden_answer_is_what_we_send(frame: dict) -> None:
    kind = {"ok": codec.Ok, "item": codec.Item, "end": codec.End, "error": codec.Error}[frame["re"]]
    fields = {key: value for key, value in frame.items() if key != "re"}
    assert json.loads(encode(kind(**fields))) == frame


@pytest.mark.parametrize("frame", TREE, ids=lambda frame: frame["say"])
def test_a_golden_message_of_the_tree_is_understood(frame: dict) -> None:
    line = json.dumps(frame).encode()
    decode = decode_from_broker if frame["say"] in FROM_BROKER else decode_from_arbiter
    assert_kept(frame, json.loads(encode(decode(line))))


def test_every_message_of_the_tree_has_a_golden_frame() -> None:
    known = {struct.__struct_config__.tag for struct in (*ArbiterMessage.__args__, *BrokerMessage.__args__)}
    assert {frame["say"] for frame in TREE} == known


@pytest.mark.parametrize(
    ("name", "shape"), [("lease", Lease), ("leased", Leased), ("settled", Settled), ("order", Order)]
)
def test_a_golden_lease_is_understood(name: str, shape: type) -> None:
    text = (GOLDEN / f"{name}.json").read_bytes()
    value = msgspec.json.decode(text, type=shape)
    assert msgspec.json.decode(msgspec.json.encode(value), type=shape) == value


@pytest.mark.parametrize("frame", REQUESTS, ids=lambda frame: frame["op"])
def test_what_a_newer_release_adds_is_passed_over_for_workers_and_refused_for_clients(frame: dict) -> None:
    """During an upgrade workers of one release speak with a broker of another; a client's typing error is no addition."""
    line = json.dumps({**frame, "of_a_later_release": {"x": 1}}).encode()
    if OPS[frame["op"]] in WORKER_OPS:
        assert decode_request(line) == decode_request(json.dumps(frame).encode())
    else:
        with pytest.raises(RequestError, match="of_a_later_release"):
            decode_request(line)
