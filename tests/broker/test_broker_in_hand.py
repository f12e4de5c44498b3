"""What is told of jobs that a worker has in its hand: the scoreboard knows which of them have begun."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from supervisor.broker.in_hand import in_hand, tell_truly
from supervisor.broker.leases import Seat
from supervisor.broker.situation import InHand
from supervisor.scoreboard import Scoreboard
from supervisor.wire.lease import Attach
from supervisor.wire.tree import Member


def service(held: dict[int, int], begun: int) -> Any:
    """A broker whose worker tiny/1 has these leases with their jobs, and has begun up to this one."""
    attach = Attach(id=1, incarnation="s-1", worker="tiny/1", pool="tiny")
    seat = Seat(SimpleNamespace(), attach, 1, held=held)  # type: ignore[arg-type]
    board = Scoreboard(2)
    board.slot(1).start(begun)
    members = (Member(worker="tiny/1", pool="tiny", state="starting", pid=7, incarnation="s-1", index=0),)
    leases = SimpleNamespace(seats=lambda: {"tiny/1": seat})
    return SimpleNamespace(board=board, leases=leases, fleet=SimpleNamespace(members=members))


def test_what_has_not_begun_waits_behind_the_one_that_runs() -> None:
    found = in_hand(service({10: 100, 11: 101, 12: 102}, begun=10))
    assert found == {101: InHand("tiny/1", 100, 1), 102: InHand("tiny/1", 100, 2)}


def test_one_whose_end_is_not_stored_yet_is_not_the_one_that_runs() -> None:
    assert in_hand(service({10: 100, 11: 101, 12: 102}, begun=11)) == {102: InHand("tiny/1", 101, 2)}


def test_a_worker_with_one_lease_has_nothing_in_its_hand() -> None:
    assert in_hand(service({10: 100}, begun=0)) == {}


def test_a_record_has_no_attempt_that_has_not_begun() -> None:
    waiting = {101: InHand("tiny/1", 100, 1)}
    before = {"number": 1, "started_at": "before"}
    view = {"id": 101, "state": "running", "started_at": "now", "attempts": [before, {"number": 2}]}
    tell_truly(view, waiting)
    assert view == {"id": 101, "state": "running", "started_at": "before", "attempts": [before]}
    listed = {"id": 101, "state": "running", "started_at": "now"}
    tell_truly(listed, waiting)
    assert listed["started_at"] is None
    other = {"id": 100, "state": "running", "started_at": "now"}
    tell_truly(other, waiting)
    assert other["started_at"] == "now"
