"""The lease desk against drops, reorders and kills: no lease is forgotten, none is given twice, nobody waits beside work."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from supervisor.broker.desk import Claim, GiveBack, Grant, LeaseDesk


def attached(desk: LeaseDesk, connection: int = 1, incarnation: str = "s-1") -> None:
    desk.attach(connection, incarnation)


def test_a_free_worker_claims_and_is_granted_what_was_claimed() -> None:
    desk = LeaseDesk()
    attached(desk)
    assert desk.want(1, 10) == [Claim(1)]
    assert desk.claimed(1, "s-1", 7) == [Grant(1, 10, 7)]


def test_work_that_arrives_during_a_claim_is_looked_for_again() -> None:
    desk = LeaseDesk()
    attached(desk)
    desk.want(1, 10)
    assert desk.work_arrived() == []
    assert desk.claimed(1, "s-1", None) == [Claim(1)]
    assert desk.claimed(1, "s-1", None) == []
    assert desk.work_arrived() == [Claim(1)]


def test_a_lease_for_a_connection_that_is_gone_is_given_back() -> None:
    desk = LeaseDesk()
    attached(desk)
    desk.want(1, 10)
    desk.leave(1)
    assert desk.claimed(1, "s-1", 7) == [GiveBack("s-1", 7)]


def test_only_the_newest_connection_of_an_incarnation_counts() -> None:
    desk = LeaseDesk()
    attached(desk, 1)
    desk.want(1, 10)
    attached(desk, 2)
    assert desk.connection_of("s-1") == 2
    assert desk.claimed(1, "s-1", 7) == [GiveBack("s-1", 7)]
    desk.leave(1)
    assert desk.connection_of("s-1") == 2


def test_a_closed_desk_grants_nothing() -> None:
    desk = LeaseDesk()
    attached(desk)
    desk.close()
    assert desk.want(1, 10) == []
    assert desk.work_arrived() == []


def test_a_held_desk_grants_nothing_and_lets_everybody_look_when_that_is_over() -> None:
    desk = LeaseDesk()
    desk.attach("a", "i-1")
    assert desk.hold(True) == [] and desk.held and not desk.closed
    assert desk.want("a", 1) == [] and desk.work_arrived() == []
    assert desk.hold(False) == [Claim("a")]


def test_a_claim_that_was_under_way_when_the_desk_was_held_is_asked_again_afterwards() -> None:
    desk = LeaseDesk()
    desk.attach("a", "i-1")
    assert desk.want("a", 1) == [Claim("a")]
    desk.hold(True)
    assert desk.hold(False) == []
    assert desk.claimed("a", "i-1", None) == [Claim("a")]


class Desk(RuleBasedStateMachine):
    """A queue of numbered jobs, workers that come and go, claims whose results arrive whenever they like."""

    connections = Bundle("connections")
    claims = Bundle("claims")

    @initialize()
    def begin(self) -> None:
        self.desk = LeaseDesk()
        self.queue = 0
        self.next_lease = 0
        self.next_connection = 0
        self.incarnation: dict[int, str] = {}
        self.open: set[int] = set()
        self.parked: dict[int, int] = {}
        self.under_way: list[int] = []
        self.leased: set[int] = set()
        self.held: set[int] = set()

    def act(self, actions: list) -> None:
        for action in actions:
            match action:
                case Claim(connection):
                    self.under_way.append(connection)
                case Grant(connection, request, lease):
                    assert connection in self.open, "granted to a connection that is gone"
                    assert self.parked.pop(connection) == request
                    assert lease in self.leased
                    self.held.add(lease)
                case GiveBack(_, lease):
                    assert lease not in self.held, "a held lease was given back"
                    self.leased.remove(lease)
                    self.queue += 1
                    self.act(self.desk.work_arrived())

    @rule(target=connections, worker=st.integers(1, 3))
    def attach(self, worker: int) -> int:
        self.next_connection += 1
        connection = self.next_connection
        incarnation = f"s-{worker}"
        for other in [other for other in self.open if self.incarnation[other] == incarnation]:
            self.parked.pop(other, None)
        self.incarnation[connection] = incarnation
        self.desk.attach(connection, incarnation)
        self.open.add(connection)
        return connection

    @rule(connection=consumes(connections))
    def leave(self, connection: int) -> None:
        self.open.discard(connection)
        self.parked.pop(connection, None)
        self.desk.leave(connection)

    @rule(connection=connections)
    def want(self, connection: int) -> None:
        if self.desk.connection_of(self.incarnation[connection]) != connection or connection in self.parked:
            return
        self.parked[connection] = 100 + connection
        self.act(self.desk.want(connection, 100 + connection))

    @rule()
    def submit(self) -> None:
        self.queue += 1
        self.act(self.desk.work_arrived())

    @rule(data=st.data())
    def claim_returns(self, data: st.DataObject) -> None:
        if not self.under_way:
            return
        connection = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        lease = None
        if self.queue:
            self.queue -= 1
            self.next_lease += 1
            lease = self.next_lease
            self.leased.add(lease)
        self.act(self.desk.claimed(connection, self.incarnation[connection], lease))

    @rule(data=st.data())
    def claim_fails(self, data: st.DataObject) -> None:
        if not self.under_way:
            return
        connection = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        self.desk.failed(connection)
        self.act(self.desk.work_arrived())

    @invariant()
    def nobody_waits_beside_work(self) -> None:
        if getattr(self, "queue", 0):
            for connection in self.parked:
                assert connection in self.under_way, "a parked worker, a queued job, and no claim under way"

    @invariant()
    def every_lease_is_somewhere(self) -> None:
        assert getattr(self, "leased", set()) == getattr(self, "held", set())


Desk.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestDesk = Desk.TestCase
