"""Whether what a command printed is what a page shows. Pure.

What differs from run to run is named, each where it stands, in MEASURED; everything else must be the same.
"""

from __future__ import annotations

import re

LEFT_OUT = ("…", "...")

_TIME = r"\d[\d.]* (?:ms|s|min|h)(?: \d[\d.]* (?:ms|s|min))*"
_SIZE = r"\d[\d.]* (?:B|KiB|MiB|GiB)"
MEASURED = [
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3})",
        r"pid[ =](\d+)",
        r"\bINFO  [a-z][a-z /\d]*\[(\d+)\]",
        rf"\(({_TIME}) ago\)",
        rf"^It (?:failed|completed) after ({_TIME})",
        rf": time ({_TIME}) of",
        rf", CPU ({_TIME}) of",
        rf", memory ({_SIZE}) of",
        rf"\bwall ({_TIME}), cpu",
        rf", cpu ({_TIME}), peak",
        rf", peak memory ({_SIZE})",
        rf"max_rss: it has ({_SIZE}),",
        r"\bon (scripts/[12])\b",
        r"\bisolation (namespace|landlock|plain)\b",
        r"\ba job ran in scripts at (namespace|landlock|plain)$",
        r"\bis fit: schema (\d+);",
        r"^That limit is held so: (sampled every 50 ms|cgroup: memory\.max [^.]*)\.$",
        r"#token=([\w-]{43})$",
        r"\bworker-supervisor (\d+\.\d+\.\d+)\b",
        r"^version (\d+\.\d+\.\d+) ->",
        r" -> (\d+\.\d+\.\d+)$",
    )
]
"""Moments, process numbers, times and sizes that were used, slots, levels, tokens and releases; nothing else."""


def lasting(lines: list[str]) -> list[str]:
    """The lines without what is measured; where columns are wide for its sake, without that."""
    text = "\n".join(re.sub(r" {2,}", "  ", line.rstrip()) for line in lines)
    for pattern in MEASURED:
        text = pattern.sub(_without_its_group, text)
    return text.splitlines()


def _without_its_group(match: re.Match[str]) -> str:
    start, end = match.start(1) - match.start(), match.end(1) - match.start()
    return f"{match[0][:start]}~{match[0][end:]}"


def alike(shown: list[str], came: list[str]) -> bool:
    """Whether these lines are what the page shows."""
    return _alike(lasting(shown), lasting(came))


def _alike(shown: list[str], came: list[str]) -> bool:
    if not shown:
        return not came
    if shown[0].strip() in LEFT_OUT:
        return any(_alike(shown[1:], came[skipped:]) for skipped in range(1, len(came) + 1))
    return bool(came) and shown[0] == came[0] and _alike(shown[1:], came[1:])


def in_order(shown: list[str], came: list[str]) -> bool:
    """Whether these lines came, in this order, perhaps among others."""
    rest = iter(lasting(came))
    return all(line in rest for line in lasting(shown))
