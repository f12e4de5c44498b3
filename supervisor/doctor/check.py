"""One check: what it is called, how it came out, what was found, what to do. Names are API: added to, never renamed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

Status = Literal["ok", "warn", "fail", "skipped"]
EXIT_OF: Final[dict[str, int]] = {"ok": 0, "skipped": 0, "warn": 1, "fail": 2}


class Check(msgspec.Struct, frozen=True):
    """`remedy` is what to do, "" where nothing needs to be done or nothing is known to help."""

    name: str
    status: Status
    found: str
    remedy: str = ""


def exit_status(checks: Iterable[Check]) -> int:
    """0 fine, 1 warnings, 2 failures."""
    return max((EXIT_OF[check.status] for check in checks), default=0)


def ok(name: str, found: str, remedy: str = "") -> Check:
    """Nothing to worry about."""
    return Check(name, "ok", found, remedy)


def warn(name: str, found: str, remedy: str) -> Check:
    """It works, but worse than it could."""
    return Check(name, "warn", found, remedy)


def fail(name: str, found: str, remedy: str) -> Check:
    """It does not work, or not safely."""
    return Check(name, "fail", found, remedy)


def skipped(name: str, found: str, remedy: str = "") -> Check:
    """Not looked at, and why."""
    return Check(name, "skipped", found, remedy)


def print_checks(checks: Sequence[Check], *, as_json: bool) -> None:
    """All of them to stdout: one line each, what to do below it; or one line of JSON."""
    if as_json:
        print(msgspec.json.encode({"checks": checks}).decode())
        return
    width = max((len(check.name) for check in checks), default=0)
    for check in checks:
        print(f"{check.name:<{width}}  {check.status:<7}  {check.found}")
        if check.remedy:
            print(f"{'':<{width}}           -> {check.remedy}")
