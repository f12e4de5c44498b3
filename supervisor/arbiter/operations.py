"""What operators ask of the running daemon: scale, restart, reload, hold. Each is checked whole, then done at once.

Asking again is harmless, also through another broker: what is asked for is a state, or is done anew. The settings of
this moment are kept here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from loguru import logger

from supervisor import log
from supervisor.arbiter.fleet import WorkerFleet
from supervisor.arbiter.reading import Reading
from supervisor.arbiter.replicas import Replicas
from supervisor.arbiter.roll import Roll
from supervisor.config import Settings
from supervisor.config.changes import compare
from supervisor.config.keys import MAX_WORKERS
from supervisor.core.errors import SettingsError
from supervisor.wire.tree import ArbiterRequest, Done, Hold, Reload, Restart, Scale

RELOAD_NOTE = "reload"


class Operations:
    """`answer` goes back to the broker that asked; `changed` passes new settings on, and what a reload changed.

    `reloading(True)` and then `reloading(False)` frame each reload.
    """

    def __init__(
        self,
        settings: Settings,
        fleet: WorkerFleet,
        replicas: Replicas,
        roll: Roll,
        reading: Reading,
        answer: Callable[[Done], None],
        changed: Callable[[Settings, dict[str, Any] | None], None],
        reloading: Callable[[bool], None],
    ) -> None:
        self.settings = settings
        self._fleet = fleet
        self._replicas = replicas
        self._roll = roll
        self._reading = reading
        self._answer = answer
        self._changed = changed
        self._reloading = reloading

    def do(self, asked: ArbiterRequest) -> None:
        """Does it, and answers, now or later."""
        if self._fleet.draining:
            self._refuse(asked, "stopping", "the daemon is shutting down")
            return
        match asked:
            case Scale():
                self._scale(asked)
            case Restart():
                self._restart(asked)
            case Reload():
                self.reload(lambda done: self._finish(asked, done))
            case Hold():
                self._fleet.hold(asked.on)
                logger.info("no more leases are granted" if asked.on else "leases are granted again")
                self._finish(asked, {})
            case _:
                self._refuse(asked, "unsupported", "this release cannot do that while it runs")

    def succeed(self, new: Settings) -> None:
        """Goes on with the settings that this program found at its start, in the place of another."""
        settings = compare(self.settings, new).settings
        obstacle = self._replicas.obstacle(settings.pools)
        if obstacle is not None:
            logger.error("the settings are not those of the file, which cannot be had: {}", obstacle)
            self._fleet.note(RELOAD_NOTE, f"the settings are older than their file, which cannot be had: {obstacle}")
            settings = self.settings
        self._place(settings)
        self._changed(settings, None)

    def reload(self, then: Callable[[dict[str, Any] | str], None]) -> None:
        """Reads and applies the settings; `then` hears what was changed, or a sentence that says why nothing was."""
        if self._fleet.draining:
            then("the daemon is shutting down")
            return
        self._reloading(True)

        def read(result: Settings | str) -> None:
            outcome = result if isinstance(result, str) else self._apply(result)
            self._reloading(False)
            if isinstance(outcome, str):
                logger.error("the settings were not reloaded, nothing has changed: {}", outcome)
                self._fleet.note(RELOAD_NOTE, f"the last reload changed nothing: {outcome}")
            else:
                logger.info("the settings were reloaded; changed: {}", _words(outcome))
                self._fleet.note(RELOAD_NOTE, None)
            then(outcome)

        self._reading.read(read, self.settings.log)

    def _apply(self, new: Settings) -> dict[str, Any] | str:
        if self._fleet.draining:
            return "the daemon is shutting down"
        changes = compare(self.settings, new)
        obstacle = self._replicas.obstacle(changes.settings.pools)
        if obstacle is not None:
            return obstacle
        if changes.settings.log != self.settings.log:
            try:
                log.configure("arbiter", changes.settings.log)
            except SettingsError as error:
                return str(error)
        older = [slot for slot in self._fleet.slots if slot.pool.name in changes.renewed]
        self._place(changes.settings)
        renewed = self._roll.renew(older, "reload")
        outcome = {
            "changed": [*changes.keys],
            "needs_restart": [*changes.needs_restart],
            "pools": {"added": [*changes.added], "removed": [*changes.removed], "renewed": [*changes.renewed]},
            "replicas": [
                {"pool": name, "before": before, "replicas": after}
                for name, (before, after) in changes.replicas.items()
            ],
            "workers": renewed,
        }
        self._changed(changes.settings, outcome)
        return outcome

    def _scale(self, asked: Scale) -> None:
        pools = self.settings.pools
        if asked.pool not in pools:
            self._refuse(asked, "bad_request", _no_such_pool(asked.pool, pools))
            return
        if not 0 <= asked.replicas <= MAX_WORKERS:
            self._refuse(asked, "bad_request", f"a pool has 0 to {MAX_WORKERS} workers, not {asked.replicas}")
            return
        before = pools[asked.pool]
        wanted = {**pools, asked.pool: msgspec.structs.replace(before, replicas=asked.replicas)}
        obstacle = self._replicas.obstacle(wanted)
        if obstacle is not None:
            self._refuse(asked, "bad_request", obstacle)
            return
        if asked.replicas != before.replicas:
            logger.info("pool {} is scaled from {} to {} workers", asked.pool, before.replicas, asked.replicas)
            self._place(msgspec.structs.replace(self.settings, pools=wanted))
            self._changed(self.settings, None)
        self._finish(asked, {"pool": asked.pool, "before": before.replicas, "replicas": asked.replicas})

    def _restart(self, asked: Restart) -> None:
        pools = self.settings.pools
        if asked.pool is not None and asked.pool not in pools:
            self._refuse(asked, "bad_request", _no_such_pool(asked.pool, pools))
            return
        names = self._roll.renew(
            [slot for slot in self._fleet.slots if asked.pool in (None, slot.pool.name)], "restart"
        )
        logger.info("workers are replaced one by one: {}", ", ".join(names) or "there are none")
        self._finish(asked, {"workers": names})

    def _place(self, settings: Settings) -> None:
        self.settings = settings
        self._replicas.change(settings.pools)

    def _finish(self, asked: ArbiterRequest, result: dict[str, Any] | str) -> None:
        if isinstance(result, str):
            self._refuse(asked, "bad_settings", f"nothing has changed: {result}")
        else:
            self._answer(Done(request=asked.request, data=result))

    def _refuse(self, asked: ArbiterRequest, code: str, message: str) -> None:
        self._answer(Done(request=asked.request, ok=False, code=code, message=message))


def _words(outcome: dict[str, Any]) -> str:
    pools = outcome["pools"]
    words = [*outcome["changed"]]
    words += [f"pool {name} added" for name in pools["added"]] + [f"pool {name} removed" for name in pools["removed"]]
    words += [f"{name} needs a restart of the daemon" for name in outcome["needs_restart"]]
    return ", ".join(words) or "nothing"


def _no_such_pool(name: str, pools: dict[str, Any]) -> str:
    return f"there is no pool {name!r}; the pools are {', '.join(sorted(pools))}"
