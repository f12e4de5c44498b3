"""What the arbiter and the broker say to each other over their socketpair, in frames of one JSON object a line."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

SlotState = Literal["starting", "idle", "busy", "stopping", "backoff", "parked"]

ExitHow = Literal["left", "recycled", "killed", "died"]


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One worker slot as the arbiter knows it. `incarnation` and `pid` are None while no process is there.

    A running slot's `state` is `starting`: idle or busy is the broker's knowledge. `stopping`: it was told to leave
    after its job, and gets no more leases. `index` counts all slots: its place on the scoreboard. `renewal` says why its worker is to be replaced (`restart`, `reload`,
    `upgrade`), until the next one is attached; `last_exit` how the one before it ended.
    """

    worker: str
    pool: str
    state: SlotState
    index: int | None = None
    incarnation: str | None = None
    pid: int | None = None
    restarts: int = 0
    note: str = ""
    renewal: str = ""
    last_exit: str = ""


class Upgrading(msgspec.Struct, frozen=True, kw_only=True):
    """An upgrade under way. `checking`: the new code is being tried, beside us. `replacing`: it has taken over from
    `before`, and so many workers of the older code are left. `broker`: the broker is of the older code too."""

    state: Literal["checking", "replacing"]
    before: str
    workers_left: int = 0
    broker_left: bool = False


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """The HTTP gateway and where it is served. Between two of its processes its state is `backoff`."""

    url: str
    socket: str
    state: Literal["running", "backoff"]
    pid: int | None = None
    restarts: int = 0
    note: str = ""


class FromArbiter(msgspec.Struct, kw_only=True, tag_field="say"):
    """Messages of the arbiter."""


class Fleet(FromArbiter, tag="fleet"):
    """Every worker slot, sent first to each broker and again whenever one changes.

    `supervisor` names this arbiter process; incarnations start with it. `exiting` are incarnations that are dead
    and whose `exited` follows: their rows must wait for it. `draining`: the daemon shuts down. `held`: an operator
    wants no more leases to be granted for now. `notes` are sentences for `health`. `version` is the arbiter's own,
    which has gone over to other code `upgrades` times.
    """

    supervisor: str
    members: tuple[Member, ...]
    exiting: tuple[str, ...] = ()
    draining: bool = False
    held: bool = False
    notes: tuple[str, ...] = ()
    version: str = ""
    upgrades: int = 0
    upgrading: Upgrading | None = None
    gateway: Gateway | None = None


class Exited(FromArbiter, tag="exited"):
    """A worker is dead. Repeated to each new broker until `acked`.

    `started` is the last lease for which it had started a process (from shared memory), 0 for none; `tree_gone`
    says that nothing of its jobs is alive any more. `how`: it left as it was told, made room for a fresh one, was
    killed by us, or died; `reason` is that in a word or two, for counting; `replaced`: its slot gets another worker.
    """

    incarnation: str
    worker: str
    cause: str
    started: int
    tree_gone: bool
    how: ExitHow = "died"
    reason: str = "unknown"
    replaced: bool = True


class Drain(FromArbiter, tag="drain"):
    """Grant no more leases: the daemon is shutting down."""


class Close(FromArbiter, tag="close"):
    """All workers are gone: finish what is committed, close the database, exit 0."""


class Configure(FromArbiter, tag="configure"):
    """The settings from now on, whole and checked: a `Settings` as JSON. `reloaded`: what a reload has changed."""

    settings: msgspec.Raw
    reloaded: dict[str, Any] | None = None


class Done(FromArbiter, tag="done"):
    """What became of a request. Not `ok`: nothing was changed, `code` is one of `names.CODES`, `message` says why."""

    request: int
    ok: bool = True
    code: str = ""
    message: str = ""
    data: dict[str, Any] = {}


class Ping(FromArbiter, tag="ping"):
    """Read the database and say `pong`."""


ArbiterMessage = Fleet | Exited | Drain | Close | Configure | Done | Ping


class FromBroker(msgspec.Struct, kw_only=True, tag_field="say"):
    """Messages of the broker."""


class Ready(FromBroker, tag="ready"):
    """The broker answers on the control socket."""


class Acked(FromBroker, tag="acked"):
    """What `exited` said is durable; it need not be repeated."""

    incarnation: str


class Attached(FromBroker, tag="attached"):
    """This worker has said who it is: it can take jobs."""

    incarnation: str


class Pong(FromBroker, tag="pong"):
    """The database was read just now."""


class Vitals(FromBroker, tag="vitals"):
    """How many jobs there are of the states that pass. Said at changes, at most every few seconds, if wanted."""

    running: int
    queued: int
    scheduled: int


class StopRequest(FromBroker, tag="stop"):
    """A client asked for a shutdown."""


class Asking(FromBroker):
    """What is answered by `done` with the same `request`. Asking again, also through another broker, is harmless."""

    request: int


class Scale(Asking, tag="scale"):
    """So many workers for a pool from now on. Surplus ones finish their job first."""

    pool: str
    replicas: int


class Restart(Asking, tag="restart"):
    """Replace the workers of a pool, or of all pools, one at a time, and release parked slots."""

    pool: str | None = None


class Reload(Asking, tag="reload"):
    """Read the settings again and apply what can be applied."""


class Hold(Asking, tag="hold"):
    """Grant no more leases, or grant them again. The arbiter keeps this over the brokers' lives."""

    on: bool


class Upgrade(Asking, tag="upgrade"):
    """Go over to new code in place. `python` is the interpreter that has it, None the present one."""

    python: str | None = None


ArbiterRequest = Scale | Restart | Reload | Hold | Upgrade
BrokerMessage = Ready | Acked | Attached | Pong | Vitals | StopRequest | ArbiterRequest
