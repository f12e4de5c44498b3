"""The checks where no daemon runs: the same of the storage, and the levels of isolation really tried, here and now.

Invariant: whoever calls it holds the state folder's lock, or there is nothing yet to lock, and has one thread.
Never makes a folder of the daemon, and leaves no process behind.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from supervisor.config import Pool, Settings
from supervisor.core.names import ISOLATION
from supervisor.doctor.check import Check, ok, warn
from supervisor.doctor.equipment import Proof, equipment_checks
from supervisor.doctor.look import instance_of, storage_checks
from supervisor.doctor.machine import leftovers_check, machine_checks
from supervisor.paths import Paths
from supervisor.runtime.interpreter import Interpreter, find_each, folders_to_bind, nothing_with
from supervisor.sandbox import Bind, Verdict, probe


def offline_checks(settings: Settings, paths: Paths) -> list[Check]:
    """All checks that need no daemon. Takes some seconds."""
    pools = list(settings.pools.values())
    return [
        *_equipment(settings, [pool for pool in pools if pool.handler is None], paths),
        *storage_checks(paths, settings.socket_group, settings.synchronous),
        *machine_checks(pools),
        leftovers_check(instance_of(paths), None),
    ]


class _Found(NamedTuple):
    """The interpreters of one pool."""

    there: dict[str, Interpreter]
    missing: dict[str, str]


def _equipment(settings: Settings, pools: list[Pool], paths: Paths) -> list[Check]:
    slot_uid = settings.slot_uid_base if os.geteuid() == 0 else None
    found = {pool.name: _Found(*find_each(pool, paths.cache)) for pool in pools}
    programs = sorted({(kind, one.path) for each in found.values() for kind, one in each.there.items()})
    binds = [Bind(folder, folder) for folder in sorted({f for _, path in programs for f in folders_to_bind(path)})]
    verdicts = {level: probe(level, slot_uid=slot_uid, binds=binds) for level in ISOLATION}
    works = [level for level in ISOLATION if verdicts[level].ok]
    proofs = [_proof(pool, found[pool.name], verdicts) for pool in pools]
    return [*equipment_checks(proofs), *_interpreter_checks(works, programs, slot_uid, binds)]


def _proof(pool: Pool, found: _Found, verdicts: dict[str, Verdict]) -> Proof:
    """What a worker of the pool would find."""
    levels = list(ISOLATION)
    allowed = levels[: levels.index(pool.isolation_minimum) + 1] if pool.isolation == "auto" else [pool.isolation]
    return Proof(
        pool=pool.name,
        level=next((level for level in allowed if verdicts[level].ok), ""),
        notes={level: verdict.reason for level, verdict in verdicts.items() if not verdict.ok},
        remedies={level: verdict.remedy for level, verdict in verdicts.items() if not verdict.ok},
        enforced={level: verdict.enforced for level, verdict in verdicts.items() if verdict.ok},
        interpreters={kind: f"{one.version} {one.path}" for kind, one in found.there.items()},
        missing=found.missing,
        how="/bin/true was run in it",
    )


def _interpreter_checks(
    levels: Sequence[str], programs: Sequence[tuple[str, str]], slot_uid: int | None, binds: Sequence[Bind]
) -> Iterator[Check]:
    for level in levels:
        for kind, path in programs:
            verdict = probe(level, slot_uid=slot_uid, binds=binds, argv=nothing_with(kind, path))
            name = f"isolation.{level}.{kind}"
            if verdict.ok:
                yield ok(name, f"{path} ran in it")
            else:
                remedy = verdict.remedy or f"install it below /usr, or name another one in pools.NAME.{kind}"
                yield warn(name, f"{path} does not run in it: {verdict.reason}", remedy)
