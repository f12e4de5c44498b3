"""What a worker has for its jobs: the sandbox levels that work here, their holders, the interpreters.

Found once, at the worker's start, by really trying; a level or an interpreter that is missing has a sentence.
"""

from __future__ import annotations

import os
from typing import Final

from loguru import logger

from supervisor.child import MARK_VARIABLE, WorkerContext
from supervisor.core.names import ISOLATION
from supervisor.runtime.interpreter import Interpreter, Missing, find, folders_to_bind
from supervisor.sandbox import Bind, Holder, SandboxError, SlotClass, prove
from supervisor.wire.lease import Lease
from supervisor.worker.artifacts import Caps
from supervisor.worker.proof import ProofMemory
from supervisor.worker.workspace import WORK

INTERPRETED: Final = ("node", "python")
ZONEINFO: Final = "/zoneinfo/"


class Equipment:
    """The holders by level (started when first needed), the interpreters by type, and what jobs are told."""

    def __init__(self, context: WorkerContext) -> None:
        self.paths = context.paths
        self.kill_grace_s = context.settings.kill_grace_s
        self.slot_uid = context.settings.slot_uid_base + context.index if os.geteuid() == 0 else None
        self.mark = {MARK_VARIABLE: context.mark}
        self.time_zone = _time_zone()
        self.passed_environment = {
            name: value for name in context.pool.env_pass if (value := os.environ.get(name)) is not None
        }
        self.missing: dict[str, str] = {}
        self._context = context
        self._memory = ProofMemory(self.paths.cache, self.slot_uid)
        self._interpreters: dict[str, Interpreter] = {}
        self._holders: dict[str, Holder] = {}
        self._enforced: dict[str, dict[str, str]] = {}
        self._find_interpreters()
        self.remedies: dict[str, str] = {}
        self.level, self.notes = self._choose_level()
        if self.level:
            self._prove_interpreters()

    @property
    def versions(self) -> dict[str, str]:
        """The version of each interpreter that was found, and its path."""
        return {kind: f"{found.version} {found.path}" for kind, found in self._interpreters.items()}

    def enforced_at(self, level: str) -> dict[str, str]:
        """What a level holds jobs to, and how."""
        return dict(self._enforced.get(level, {}))

    @property
    def artifact_caps(self) -> Caps:
        """What is kept of a job's output folder at most."""
        pool = self._context.pool
        return Caps(pool.artifacts, pool.artifact_bytes, pool.name)

    @property
    def job_uid(self) -> int:
        """The user that jobs are to the machine."""
        return os.geteuid() if self.slot_uid is None else self.slot_uid

    @property
    def holders(self) -> list[Holder]:
        """The holders that run."""
        return list(self._holders.values())

    def interpreter(self, job_type: str) -> Interpreter | None:
        """What starts scripts of `job_type`, None if they start by themselves; raises Missing."""
        if job_type in self.missing:
            raise Missing(self.missing[job_type])
        return self._interpreters.get(job_type)

    def level_for(self, lease: Lease) -> str:
        """The level of a lease's attempt."""
        return self.level if lease.spec.isolation == "auto" else lease.spec.isolation

    def holder(self, level: str) -> Holder:
        """The holder of `level`; raises SandboxError when this machine cannot have it."""
        if level not in self._holders:
            self._holders[level] = self._start_holder(level)
            self._enforced[level] = self._holders[level].enforced
        return self._holders[level]

    def slot_class(self, lease: Lease) -> SlotClass:
        """What must be prepared for a lease before it starts."""
        return SlotClass(
            network=lease.spec.network,
            disk_bytes=lease.spec.limits.disk_bytes,
            work=self._context.pool.work,
        )

    def drop_holder(self, holder: Holder) -> None:
        """Forgets a holder that died; the next job of its level starts another."""
        self._holders = {level: other for level, other in self._holders.items() if other is not holder}
        holder.close()

    def close(self) -> None:
        """Ends every holder, and whatever is left in them."""
        for holder in self._holders.values():
            holder.close()
        self._holders = {}

    def _find_interpreters(self) -> None:
        pool = self._context.pool
        configured = {"node": pool.node, "python": pool.python}
        for kind in INTERPRETED:
            if kind not in pool.types:
                continue
            try:
                self._interpreters[kind] = find(kind, configured[kind], self.paths.cache)
            except Missing as error:
                self.missing[kind] = str(error)

    def _choose_level(self) -> tuple[str, dict[str, str]]:
        wanted = self._context.pool.isolation
        notes: dict[str, str] = {}
        for level in self._allowed() if wanted == "auto" else (wanted,):
            try:
                self.holder(level)
            except SandboxError as error:
                logger.warning("isolation {} cannot be had here: {}", level, error)
                notes[level] = str(error)
                if error.remedy:
                    self.remedies[level] = error.remedy
            else:
                return level, notes
        return "", notes

    def _prove_interpreters(self) -> None:
        """Really runs each interpreter in the level in force. One that does not run there is missing, not degraded."""
        for kind, found in list(self._interpreters.items()):
            if self._memory.knows(self.level, found):
                continue
            verdict = prove(self.holder(self.level), [(found.path, "--version")])
            if verdict.ok:
                self._memory.learn(self.level, found)
                continue
            logger.warning("{} does not run at isolation {}: {}", found.path, self.level, verdict.reason)
            self.missing[kind] = (
                f"{found.path} does not run at isolation {self.level}: {verdict.reason}; "
                f"name another in the setting pools.{self._context.pool.name}.{kind}"
            )
            del self._interpreters[kind]

    def _allowed(self) -> tuple[str, ...]:
        """The levels that a job of this pool may have, strongest first."""
        levels = tuple(ISOLATION)
        return levels[: levels.index(self._context.pool.isolation_minimum) + 1]

    def _start_holder(self, level: str) -> Holder:
        context = self._context
        return Holder.start(
            level,
            work_root=self.paths.work,
            name=f"{context.index}-{level}",
            slot_uid=self.slot_uid,
            binds=self._binds(),
            keep_fds=[context.lock_fd],
            title="worker-supervisor: holder",
            mark=self.mark,
            cgroup=context.cgroup,
        )

    def _binds(self) -> list[Bind]:
        folders = {folder for found in self._interpreters.values() for folder in folders_to_bind(found.path)}
        binds = [Bind(folder, folder) for folder in sorted(folders)]
        if self._context.pool.modules is not None:
            binds.append(Bind(self._context.pool.modules, f"/job/{WORK}/node_modules"))
        return binds


def _time_zone() -> str:
    name = os.environ.get("TZ")
    if name:
        return name
    place = os.path.realpath("/etc/localtime")
    return place.partition(ZONEINFO)[2] or "UTC"
