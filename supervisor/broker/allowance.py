"""What a pool and this machine allow a job: interpreter, network, isolation, limits. Each check raises RequestError.

What is known to be impossible is refused at submit, with the setting or option that changes it, never degraded in
silence. What no worker has reported yet is let through: it is decided when the job runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from supervisor.broker.admission import Script
from supervisor.config import Pool
from supervisor.core.errors import RequestError
from supervisor.core.limits import OPTION_OF
from supervisor.core.names import ISOLATION
from supervisor.runtime.classify import STRIPS_TYPES_FROM, is_typescript
from supervisor.sandbox.levels import foretold
from supervisor.wire.control import JobRequest
from supervisor.wire.lease import Attach

NOT_ENFORCED: Final = "not enforced"
ASPECT_OF: Final = {
    "cpu_s": "cpu",
    "memory_bytes": "memory",
    "processes": "processes",
    "disk_bytes": "disk",
}
"""What the sandbox calls that which a limit limits."""
SHARED_BY_JOBS: Final = ("processes", "open_files", "file_size_bytes", "disk_bytes")
"""Limits that a handler's process has as a whole."""


def check_enforceable(workers: Iterable[Attach], request: JobRequest) -> None:
    """A limit, or an absent network, that was asked for and cannot be enforced is refused."""
    asked = [
        (aspect, f"limits.{name} ({OPTION_OF[name]})")
        for name, aspect in ASPECT_OF.items()
        if getattr(request.limits, name) not in (msgspec.UNSET, None)
    ]
    if request.network is False:
        asked.append(("network", "network=false (--no-network)"))
    for worker in workers if asked else ():
        level = worker.isolation if request.isolation in (None, "auto") else request.isolation
        enforced = worker.enforced if level == worker.isolation else foretold(level)
        for aspect, what in asked:
            how = enforced.get(aspect, "")
            if how.startswith(NOT_ENFORCED):
                raise RequestError("unsupported", f"{what} was asked for, and at isolation {level} is {how}")


def check_handler(request: JobRequest, pool: Pool) -> None:
    """What one process for many jobs cannot give to one of them is refused, not dropped."""
    if pool.handler is None:
        return
    for name in SHARED_BY_JOBS:
        if getattr(request.limits, name) is not msgspec.UNSET:
            raise RequestError(
                "unsupported",
                f"limits.{name} ({OPTION_OF[name]}) cannot be set for one job of a handler: "
                f"the setting pools.{pool.name}.limits.{name.removesuffix('_bytes')} holds for its process",
            )
    if request.isolation not in (None, "auto") or request.network is False:
        raise RequestError(
            "not_allowed",
            f"pool {pool.name} runs a handler, which is the operator's own code: unsandboxed, with the network",
        )


def check_interpreter(workers: Iterable[Attach], script: Script) -> None:
    """What the workers of the pool already know to be missing is refused now, not when it runs."""
    for worker in workers:
        if script.type in worker.missing:
            raise RequestError("unsupported", worker.missing[script.type], {"type": script.type})
        if script.type == "node" and script.main is not None and is_typescript(script.main):
            _check_typescript(worker.interpreters.get("node", ""))


def _check_typescript(node: str) -> None:
    version = node.partition(" ")[0]
    numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
    if numbers and numbers < STRIPS_TYPES_FROM:
        needed = ".".join(str(part) for part in STRIPS_TYPES_FROM)
        raise RequestError("unsupported", f"Node {version} cannot run TypeScript: it takes Node {needed} or newer")


def network_of(request: JobRequest, pool: Pool) -> bool:
    """Whether the job has the host's network; refuses what the pool does not allow."""
    if request.network and pool.network == "never":
        raise RequestError(
            "not_allowed", f"pool {pool.name} gives no job the network (setting pools.{pool.name}.network)"
        )
    return pool.network == "always" if request.network is None else request.network


def isolation_of(workers: Iterable[Attach], request: JobRequest, pool: Pool) -> str:
    """The level the job asks for, if the pool allows it and the machine has it."""
    asked = request.isolation or pool.isolation
    if asked not in ("auto", *ISOLATION):
        raise RequestError(
            "bad_request", f"`isolation`: there is no level {asked!r}; there are auto, {', '.join(ISOLATION)}"
        )
    _check_level(workers, asked, pool)
    if asked == pool.isolation:
        return asked
    if pool.isolation != "auto":
        raise RequestError(
            "not_allowed",
            f"pool {pool.name} runs every job at {pool.isolation} (setting pools.{pool.name}.isolation)",
        )
    return asked


def _check_level(workers: Iterable[Attach], asked: str, pool: Pool) -> None:
    strength = list(ISOLATION)
    if asked != "auto" and strength.index(asked) > strength.index(pool.isolation_minimum):
        raise RequestError(
            "not_allowed",
            f"pool {pool.name} runs no job below {pool.isolation_minimum} "
            f"(setting pools.{pool.name}.isolation_minimum)",
        )
    for worker in workers:
        notes = worker.isolation_notes
        if asked in notes:
            raise RequestError("unsupported", f"isolation {asked} cannot be had here: {notes[asked]}")
        if not worker.isolation:
            why = "; ".join(f"{level}: {note}" for level, note in notes.items())
            raise RequestError(
                "unsupported", f"pool {pool.name} demands {pool.isolation_minimum}, which cannot be had here: {why}"
            )
