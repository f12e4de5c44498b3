"""Finds the cgroup v2 that the system gave this daemon to manage (systemd: Delegate=yes), and makes it ready.

Invariant: called once, by the first process of the daemon, before it has children: a group with processes of its
own can give no controller to groups below it, so this process moves into a leaf and its children are born there.
Never: takes a group that was not delegated: root could write to every one.
"""

from __future__ import annotations

import contextlib
import os

_LEAF = "daemon"
_WANTED = ("memory", "pids", "cpu")
_MARKS = ("trusted.delegate", "user.delegate")  # set by systemd


def delegated_cgroup(path: str | None = None) -> tuple[str | None, str]:
    """(folder below which jobs get their groups, a sentence), or (None, why not).

    path: a folder that an administrator prepared, for machines without systemd. For Holder.start(cgroup=…).
    """
    try:
        folder = path or _own_delegated()
    except OSError as error:
        return None, f"no delegated cgroup v2: {error.strerror}"
    if folder is None:
        return None, "no delegated cgroup v2: with systemd, add Delegate=yes to the unit"
    try:
        _step_into_leaf(folder)
    except OSError as error:
        return None, f"the cgroup {folder} cannot be managed: {error.strerror}"
    return folder, f"{folder} gives {_enable(folder) or 'no controllers'}"


def _own_delegated() -> str | None:
    with open("/proc/self/cgroup") as file:
        own = next((line.strip()[3:] for line in file if line.startswith("0::/")), None)
    mount = _mount_point()
    if own is None or mount is None:
        return None
    folder = mount if own == "/" else mount + own
    if os.path.basename(folder) == _LEAF and _is_delegated(os.path.dirname(folder)):
        return os.path.dirname(folder)
    return folder if _is_delegated(folder) else None


def _mount_point() -> str | None:
    with open("/proc/self/mountinfo") as file:
        for line in file:
            front, _, back = line.partition(" - ")
            if back.split()[0] == "cgroup2" and front.split()[3] == "/":
                return front.split()[4]
    return None


def _is_delegated(folder: str) -> bool:
    for mark in _MARKS:
        with contextlib.suppress(OSError):
            if os.getxattr(folder, mark) == b"1":
                return True
    return os.geteuid() != 0 and os.stat(folder).st_uid == os.geteuid() and os.access(f"{folder}/cgroup.procs", os.W_OK)


def _step_into_leaf(folder: str) -> None:
    leaf = f"{folder}/{_LEAF}"
    with contextlib.suppress(FileExistsError):
        os.mkdir(leaf, 0o755)
    _write(f"{leaf}/cgroup.procs", "0")


def _enable(folder: str) -> str:
    """Each by itself: one that is not there, or is held up by a stranger in the group, shall not stop the others."""
    for name in _WANTED:
        with contextlib.suppress(OSError):
            _write(f"{folder}/cgroup.subtree_control", f"+{name}")
    try:
        with open(f"{folder}/cgroup.subtree_control") as file:
            return ", ".join(file.read().split())
    except OSError:
        return ""


def _write(path: str, value: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)
