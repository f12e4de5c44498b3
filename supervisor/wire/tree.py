"""What the arbiter and the broker say to each other over their socketpair, in frames of one JSON object a line."""

from __future__ import annotations

from typing import Literal

import msgspec

SlotState = Literal["starting", "idle", "busy", "backoff", "parked"]


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One worker slot as the arbiter knows it. `incarnation` and `pid` are None while no process is there.

    A running slot's `state` is `starting`: idle or busy is the broker's knowledge.
    """

    worker: str
    pool: str
    state: SlotState
    incarnation: str | None = None
    pid: int | None = None
    restarts: int = 0
    note: str = ""


class FromArbiter(msgspec.Struct, kw_only=True, tag_field="say"):
    """Messages of the arbiter."""


class Fleet(FromArbiter, tag="fleet"):
    """Every worker slot, sent first to each broker and again whenever one changes.

    `supervisor` names this arbiter process; incarnations start with it. `exiting` are incarnations that are dead
    and whose `exited` follows: their rows must wait for it.
    """

    supervisor: str
    members: tuple[Member, ...]
    exiting: tuple[str, ...] = ()
    draining: bool = False


class Exited(FromArbiter, tag="exited"):
    """A worker is dead. Repeated to each new broker until `acked`.

    `started` is the last lease for which it had started a process (from shared memory), 0 for none; `tree_gone`
    says that nothing of its jobs is alive any more.
    """

    incarnation: str
    worker: str
    cause: str
    started: int
    tree_gone: bool


class Drain(FromArbiter, tag="drain"):
    """Grant no more leases: the daemon is shutting down."""


class Close(FromArbiter, tag="close"):
    """All workers are gone: finish what is committed, close the database, exit 0."""


ArbiterMessage = Fleet | Exited | Drain | Close


class FromBroker(msgspec.Struct, kw_only=True, tag_field="say"):
    """Messages of the broker."""


class Ready(FromBroker, tag="ready"):
    """The broker answers on the control socket."""


class Acked(FromBroker, tag="acked"):
    """What `exited` said is durable; it need not be repeated."""

    incarnation: str


class StopRequest(FromBroker, tag="stop"):
    """A client asked for a shutdown."""


BrokerMessage = Ready | Acked | StopRequest
