"""Checks of what workers proved: isolation by really using it, how each limit is held, interpreters. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from supervisor.core.names import ISOLATION
from supervisor.doctor.check import Check, fail, ok, skipped, warn
from supervisor.runtime.interpreter import INTERPRETED

NOT_ENFORCED: Final = "not enforced"


class Proof(NamedTuple):
    """What one worker, or a probe in its place, found: `level` in force ("" if none), `notes` and `remedies` of the
    levels that failed, how each aspect is held at each proven level, interpreters by type, and what is missing.
    `how` says what proved a level.
    """

    pool: str
    level: str
    notes: Mapping[str, str]
    remedies: Mapping[str, str]
    enforced: Mapping[str, Mapping[str, str]]
    interpreters: Mapping[str, str]
    missing: Mapping[str, str]
    how: str


def equipment_checks(proofs: Sequence[Proof]) -> list[Check]:
    """One check a level, one an aspect of each level in force, one an interpreter."""
    if not proofs:
        return [skipped(name, "no worker has said yet what it found") for name in (*_level_names(), *INTERPRETED)]
    checks = [_level_check(level, proofs) for level in ISOLATION]
    checks += [check for pool in _unique(proof.pool for proof in proofs) if (check := _pool_check(pool, proofs))]
    for level in ISOLATION:
        held = next((p.enforced[level] for p in proofs if p.level == level and level in p.enforced), None)
        if held is not None:
            checks += [_aspect_check(level, aspect, how) for aspect, how in held.items()]
    kinds = _unique(kind for proof in proofs for kind in (*proof.interpreters, *proof.missing))
    return [*checks, *(_interpreter_check(kind, proofs) for kind in sorted(kinds))]


def _level_names() -> list[str]:
    return [f"isolation.{level}" for level in ISOLATION]


def _level_check(level: str, proofs: Sequence[Proof]) -> Check:
    name = f"isolation.{level}"
    users = _unique(proof.pool for proof in proofs if proof.level == level)
    refused = [proof for proof in proofs if level in proof.notes]
    if refused:
        return warn(name, f"not available: {refused[0].notes[level]}", refused[0].remedies.get(level, ""))
    if users:
        return ok(name, f"the level of pool {', '.join(users)}: {proofs[0].how}")
    if any(level in proof.enforced for proof in proofs):
        return ok(name, f"available: {proofs[0].how}")
    pools = ", ".join(f"{proof.level or 'none'} in pool {proof.pool}" for proof in _first_of_pools(proofs))
    return skipped(name, f"not tried: {pools} is in force")


def _pool_check(pool: str, proofs: Sequence[Proof]) -> Check | None:
    """Only for a pool that cannot run anything."""
    if any(proof.level for proof in proofs if proof.pool == pool):
        return None
    return fail(
        f"pool.{pool}",
        "no level of isolation that it allows is available: its jobs are refused",
        f"enable one of them as said above, or change the setting pools.{pool}.isolation or isolation_minimum",
    )


def _aspect_check(level: str, aspect: str, how: str) -> Check:
    name = f"isolation.{level}.{aspect}"
    if not how.startswith(NOT_ENFORCED):
        return ok(name, how)
    stronger = list(ISOLATION)[: list(ISOLATION).index(level)]
    remedy = f"give the pool a stronger level: {' or '.join(stronger)}" if stronger else ""
    return warn(name, how, remedy)


def _interpreter_check(kind: str, proofs: Sequence[Proof]) -> Check:
    lacking = [proof for proof in proofs if kind in proof.missing]
    if lacking:
        where = ", ".join(_unique(proof.pool for proof in lacking))
        return warn(kind, f"missing for pool {where}", lacking[0].missing[kind])
    return ok(kind, ", ".join(_unique(proof.interpreters[kind] for proof in proofs if kind in proof.interpreters)))


def _first_of_pools(proofs: Sequence[Proof]) -> list[Proof]:
    return list({proof.pool: proof for proof in reversed(proofs)}.values())


def _unique(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))
