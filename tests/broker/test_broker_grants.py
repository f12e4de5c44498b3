"""What a pool grants is decided once for all that ask the same, and again when a worker or a setting changes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from supervisor.broker.admission import Script
from supervisor.broker.grants import MOST_KEPT, Grants
from supervisor.broker.intake import fingerprint
from supervisor.broker.leases import Leases, Seat
from supervisor.config import Flags, load
from supervisor.core.errors import RequestError
from supervisor.wire.control import JobRequest, Submit
from supervisor.wire.lease import Attach

SCRIPT = Script(name="x.js", type="node", main="x.js", contents=(), stdin=None, inline={})


@pytest.fixture
def leases() -> Leases:
    nobody: Any = None
    return Leases(load(Flags(), {}), nobody)


def request(**fields: Any) -> JobRequest:
    return msgspec.convert({"request_id": "request-1", "source": "1", **fields}, JobRequest)


def arrive(leases: Leases, connection: int, **said: Any) -> None:
    attach = Attach(id=1, incarnation=f"w{connection}", worker=f"scripts/{connection}", pool="scripts", **said)
    nobody: Any = None
    leases.attach(connection, Seat(nobody, attach, 1))


def test_what_asks_for_the_same_is_granted_the_same(leases: Leases) -> None:
    grants = Grants(leases)
    first = grants.of(request(), SCRIPT)
    assert grants.of(request(request_id="request-2", source="2", args=["1"], priority=5), SCRIPT) is first
    other = grants.of(request(limits={"wall_s": 5}), SCRIPT)
    assert (other.limits.wall_s, other.asked) == (5, ("wall_s",))
    assert first.asked == ()


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        ({}, None),
        ({"limits": {"memory_bytes": 1 << 30, "cpu_s": 5, "processes": 50}}, None),
        ({"limits": {"disk_bytes": None}}, None),
        ({"limits": {"disk_bytes": 10 << 20}}, "--disk.* at isolation plain is not enforced"),
        ({"network": False}, "--no-network.* at isolation plain is not enforced"),
    ],
)
def test_a_weaker_level_that_is_asked_for_holds_what_it_can(
    leases: Leases, asked: dict[str, Any], refused: str | None
) -> None:
    arrive(leases, 1, isolation="namespace", enforced={"disk": "tmpfs", "network": "namespace"})
    grants = Grants(leases)
    assert grants.of(request(**asked), SCRIPT).isolation == "auto"
    if refused is None:
        assert grants.of(request(isolation="plain", **asked), SCRIPT).isolation == "plain"
        return
    with pytest.raises(RequestError, match=refused):
        grants.of(request(isolation="plain", **asked), SCRIPT)


def test_a_worker_that_comes_or_goes_changes_what_is_granted(leases: Leases) -> None:
    grants = Grants(leases)
    grants.of(request(), SCRIPT)
    arrive(leases, 1, isolation="plain", missing={"node": "there is no node"})
    for _ in range(2):
        with pytest.raises(RequestError, match="there is no node"):
            grants.of(request(), SCRIPT)
    leases.leave(1)
    arrive(leases, 2, isolation="plain", enforced={"memory": "not enforced: no cgroup"})
    assert grants.of(request(), SCRIPT).pool.name == "scripts"
    with pytest.raises(RequestError, match="memory"):
        grants.of(request(limits={"memory_bytes": 1 << 30}), SCRIPT)


def test_another_setting_changes_what_is_granted(leases: Leases) -> None:
    grants = Grants(leases)
    assert grants.of(request(), SCRIPT).limits.wall_s == 600
    pool = leases.settings.pools["scripts"]
    changed = msgspec.structs.replace(pool, limits=msgspec.structs.replace(pool.limits, wall_s=7.0))
    leases.settings = msgspec.structs.replace(leases.settings, pools={"scripts": changed})
    assert grants.of(request(), SCRIPT).limits.wall_s == 7


def test_not_more_than_so_many_are_remembered(leases: Leases) -> None:
    grants = Grants(leases)
    for number in range(MOST_KEPT + 5):
        grants.of(request(queue=f"q{number}"), SCRIPT)
    assert len(grants._kept) <= MOST_KEPT


def test_a_submit_and_a_job_of_many_have_one_fingerprint_which_stays_as_it_is() -> None:
    """It is in databases: another one would make every repeated request a conflict."""
    fields = {"request_id": "request-1", "name": "x.js", "source": "1", "args": ["a"], "params": {"n": 1}}
    whole = _decoded(Submit, op="submit", id=7, **fields)
    assert fingerprint(whole) == "9805f90680ca2fa3f80af619954e5695a3716624c605e332f807f617fd0ff027"
    for other in ({"request_id": "request-2"}, {"queue": "default", "priority": 0, "merge": False}):
        assert fingerprint(_decoded(JobRequest, **{**fields, **other})) == fingerprint(whole)
    assert fingerprint(_decoded(JobRequest, **{**fields, "priority": 1})) != fingerprint(whole)


def _decoded(kind: type[Any], **fields: Any) -> Any:
    return msgspec.json.decode(json.dumps(fields), type=kind)
