"""What a worker has for its jobs: the sandbox levels that work here, their holders, the interpreters.

Found once, at the worker's start, by really trying; a level or an interpreter that is missing has a sentence.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from loguru import logger

from supervisor.child import MARK_VARIABLE, WorkerContext
from supervisor.core.limits import Limits
from supervisor.core.names import ISOLATION
from supervisor.core.shortage import Shortage, short_of
from supervisor.runtime import gate
from supervisor.runtime.handler import account_of
from supervisor.runtime.interpreter import Interpreter, Missing, find_each, folders_to_bind
from supervisor.sandbox import Bind, Holder, SandboxError, SlotClass, Verdict, moves_binds, prove
from supervisor.wire.lease import Lease
from supervisor.worker.artifacts import Caps
from supervisor.worker.proof import ProofMemory
from supervisor.worker.workspace import WORK

TRIES: Final = 3
FULL_BELOW_BYTES: Final = 64 << 10
DISK_S: Final = 300.0
"""So much longer a worker may be silent while it copies and syncs what a job takes and leaves."""
ZONEINFO: Final = "/zoneinfo/"
GATES_TARGET: Final = "/.gates"
OPERATORS_OWN: Final = "none"
"""The level of handlers: kept apart from nothing."""
TOLD_OF_HANDLERS: Final = ("memory", "cpu", "processes", "disk", "network", "files")


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
        self._context = context
        self.spare_name = str(context.index)
        self.proofs = ProofMemory(self.paths.cache, self.slot_uid)
        self._interpreters, self.missing = find_each(context.pool, self.paths.cache)
        self._holders: dict[str, Holder] = {}
        self._enforced: dict[str, dict[str, str]] = {}
        self._account = account_of(context.pool)
        self._gates = os.path.realpath(f"{self.paths.work}/gates-{context.index}")
        self._install_gates()
        self.remedies: dict[str, str] = {}
        self.level, self.notes = self._choose_level()
        if self.level:
            self._prove_interpreters()

    def expect_disk(self) -> None:
        """What follows may wait for a slow disk: no reason to take this worker for hung."""
        self._context.scoreboard.beat(ahead_s=DISK_S)

    @property
    def prestarts(self) -> bool:
        """Whether this pool wants interpreters that wait for their job."""
        return self._context.pool.prestart > 0 and self._context.pool.handler is None

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
    def output_owner(self) -> int | None:
        """Who owns the output files of a handler's jobs, where it is not us."""
        return None if self._account.uid == os.geteuid() else self._account.uid

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
            told = self._holders[level].enforced
            self._enforced[level] = told if level != OPERATORS_OWN else _in_short(told)
        return self._holders[level]

    def slot_class(self, lease: Lease) -> SlotClass:
        """What must be prepared for a lease before it starts."""
        return self.slot_class_for(lease.spec.network, lease.spec.limits)

    def slot_class_for(self, network: bool, limits: Limits) -> SlotClass:
        """The same for a lease that may come."""
        return SlotClass(network=network, disk_bytes=limits.disk_bytes, work=self._context.pool.work)

    def caps_disk(self, level: str) -> bool:
        """Whether a job's folder has a size of its own; else it has what the disk has."""
        return moves_binds(level) and self._context.pool.work == "tmpfs"

    def gates_seen(self, level: str) -> str:
        """Where jobs of `level` see the gates."""
        return GATES_TARGET if moves_binds(level) else self._gates

    def drop_holder(self, holder: Holder) -> None:
        """Forgets a holder that died; the next job of its level starts another."""
        self._holders = {level: other for level, other in self._holders.items() if other is not holder}
        holder.close()

    def close(self) -> None:
        """Ends every holder, and whatever is left in them."""
        for holder in self._holders.values():
            holder.close()
        self._holders = {}
        if self.prestarts:
            gate.uninstall(self._gates)

    def _install_gates(self) -> None:
        if not self.prestarts:
            return
        try:
            gate.install(self._gates)
        except OSError as error:
            self._say_if_short(error.errno)
            raise

    def _choose_level(self) -> tuple[str, dict[str, str]]:
        if self._context.pool.handler is not None:
            return OPERATORS_OWN, {}
        wanted = self._context.pool.isolation
        notes: dict[str, str] = {}
        for level in self._allowed() if wanted == "auto" else (wanted,):
            try:
                self._try_holder(level)
            except SandboxError as error:
                self._say_if_short(error.errno)
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
            if self.proofs.knows(self.level, found):
                continue
            verdict = self._prove(found)
            if verdict.ok:
                self.proofs.learn(self.level, found)
                continue
            self._say_if_short(verdict.errno)
            logger.warning("{} does not run at isolation {}: {}", found.path, self.level, verdict.reason)
            self.missing[kind] = (
                f"{found.path} does not run at isolation {self.level}: {verdict.reason}; "
                f"name another in the setting pools.{self._context.pool.name}.{kind}"
            )
            del self._interpreters[kind]

    def _try_holder(self, level: str) -> Holder:
        """A holder or keeper that is killed while it is tried says nothing of its level, unless it is every time."""
        for left in reversed(range(TRIES)):
            try:
                return self.holder(level)
            except SandboxError as error:
                if not (error.lost and left):
                    raise
                logger.warning("isolation {} is tried again: {}", level, error)
        raise AssertionError

    def _prove(self, found: Interpreter) -> Verdict:
        verdict = Verdict(False)
        for _ in range(TRIES):
            holder = self._try_holder(self.level)
            if not holder.alive():
                self.drop_holder(holder)
                holder = self._try_holder(self.level)
            verdict = prove(holder, [(found.path, "--version")])
            if verdict.ok:
                break
        return verdict

    def _say_if_short(self, number: int | None) -> None:
        """A level or interpreter that fails for a shortage is not refused: weaker isolation would be the price."""
        want = short_of(number) or self._short_of_room(number)
        if want is not None:
            self.close()
            raise Shortage(want)

    def _short_of_room(self, number: int | None) -> str | None:
        """The kernel says ENOSPC as well where a number of namespaces or mounts is used up, which does not pass."""
        if number not in (errno.ENOSPC, errno.EDQUOT):
            return None
        room = os.statvfs(self.paths.work)
        full = room.f_bavail * room.f_frsize < FULL_BELOW_BYTES or (room.f_files > 0 and room.f_favail == 0)
        return "room on the disk" if full or number == errno.EDQUOT else None

    def _allowed(self) -> tuple[str, ...]:
        """The levels that a job of this pool may have, strongest first."""
        levels = tuple(ISOLATION)
        return levels[: levels.index(self._context.pool.isolation_minimum) + 1]

    def _start_holder(self, level: str) -> Holder:
        context, who = self._context, self._account
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
            user=(who.uid, who.gid, who.groups) if context.pool.handler is not None else None,
        )

    def _binds(self) -> list[Bind]:
        folders = {folder for found in self._interpreters.values() for folder in folders_to_bind(found.path)}
        binds = [Bind(folder, folder) for folder in sorted(folders)]
        if self.prestarts:
            binds.append(Bind(self._gates, GATES_TARGET))
        if self._context.pool.modules is not None:
            binds.append(Bind(self._context.pool.modules, f"/job/{WORK}/node_modules"))
        return binds


def _in_short(told: dict[str, str]) -> dict[str, str]:
    """It is the same for each job of a handler, and kept with each: what may be asked for at submit, in two words."""
    return {aspect: told[aspect].partition(":")[0] for aspect in TOLD_OF_HANDLERS}


def _time_zone() -> str:
    name = os.environ.get("TZ")
    if name:
        return name
    place = os.path.realpath("/etc/localtime")
    return place.partition(ZONEINFO)[2] or "UTC"
