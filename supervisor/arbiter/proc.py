"""What /proc says about processes. Every answer may be old when it arrives: act through a pidfd opened before."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Stat:
    """`state` is the kernel's letter (Z for a zombie); `started_ticks` counts from boot and tells reused pids apart."""

    state: str
    parent: int
    session: int
    started_ticks: int


def stat_of(pid: int) -> Stat | None:
    """None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may itself hold spaces and parentheses.
    fields = text[text.rindex(b")") + 2 :].split()
    return Stat(fields[0].decode(), int(fields[1]), int(fields[3]), int(fields[19]))


def processes() -> list[int]:
    """The pids of all processes that this process can see."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def children() -> list[int]:
    """The pids of this process's own children, zombies too. One that is born meanwhile may be missing."""
    me = os.getpid()
    try:
        with open(f"/proc/self/task/{me}/children", "rb") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:
        # A kernel without CONFIG_PROC_CHILDREN.
        return [pid for pid in processes() if (seen := stat_of(pid)) is not None and seen.parent == me]


def has_in_environment(pid: int, variable: str, value: str) -> bool | None:
    """Whether the process was started with this variable; None when it may not be looked at, or is gone."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return f"{variable}={value}".encode() in file.read().split(b"\0")
    except OSError:
        return None


def real_uid(pid: int) -> int | None:
    """The real uid of a process that runs; None when it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            fields = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    except OSError:
        return None
    return None if fields.get("State", "Z").startswith("Z") else int(fields["Uid"].split()[0])


def boot_id() -> str:
    """Changes with each boot of the machine."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def thread_names() -> list[str]:
    """The names of this process's threads, the first one's too."""
    names = []
    for thread in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{thread}/comm", encoding="utf-8", errors="replace") as file:
                names.append(file.read().strip())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return names


def rss_bytes(pid: int) -> int:
    """The resident memory of a process; 0 when it is gone or cannot be looked at."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0
