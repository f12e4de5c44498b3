"""After the exec: the children of the older code live on, and are replaced. The broker first, then the workers.

Each is replaced after what it does now: the broker finishes and closes, clients and workers reconnect and repeat; a
worker ends after its job. How far that is shows in `status`.
"""

from __future__ import annotations

from loguru import logger

from supervisor import __version__
from supervisor.arbiter.broker import Broker
from supervisor.arbiter.fleet import WorkerFleet
from supervisor.arbiter.handover import Handover
from supervisor.arbiter.roll import UPGRADE, Roll
from supervisor.wire.tree import Done, Upgrading


class Succession:
    """What is left to be replaced of the children that `left` names."""

    def __init__(self, left: Handover, fleet: WorkerFleet, broker: Broker, roll: Roll) -> None:
        self.before = left.version
        self._request = left.request
        self._older = {slot.incarnation for slot in left.fleet.slots if slot.incarnation is not None}
        self._older_broker = None if left.broker is None else left.broker.child.pid
        self._fleet = fleet
        self._broker = broker
        self._roll = roll
        self._rolling = False
        self._over = False

    def begin(self) -> None:
        """Answers whoever asked for the upgrade, and has the broker replaced."""
        logger.info("upgrade: version {} has taken over from {}", __version__, self.before)
        if self._request is not None:
            self._broker.answer(Done(request=self._request, data={"before": self.before, "version": __version__}))
        self._broker.renew()

    def broker_ready(self) -> None:
        """A broker serves. If it is a new one, it is the workers' turn."""
        if not self._rolling and not self._broker_left():
            self._rolling = True
            self._roll.renew(
                [slot for slot in self._fleet.slots if slot.incarnation in self._older or slot.state == "parked"],
                UPGRADE,
            )

    def state(self) -> Upgrading | None:
        """How far it is; None when nobody is left."""
        if self._over:
            return None
        older = sum(slot.incarnation in self._older for slot in self._fleet.slots)
        if older or self._broker_left():
            return Upgrading(state="replacing", before=self.before, workers_left=older, broker_left=self._broker_left())
        self._over = True
        logger.info("upgrade: everything runs version {} now", __version__)
        return None

    def _broker_left(self) -> bool:
        # As long as it is our child and not reaped its pid is its own.
        return self._older_broker is not None and self._broker.is_child(self._older_broker)
