"""Checks of the state folder, the socket's folder and the database: pure judgements of what `storage_facts` read."""

from __future__ import annotations

import os
import stat
from typing import Final

from supervisor.core.units import format_duration, format_size
from supervisor.doctor.check import Check, fail, ok, warn
from supervisor.store import Checkup

GIB: Final = 1 << 30
MIB: Final = 1 << 20
LEAST_SPACE: Final = 64 * MIB
LITTLE_SPACE: Final = GIB
LITTLE_SHARE: Final = 0.05
LARGE_WAL: Final = 64 * MIB
CLOCK_SLACK_S: Final = 2.0

FILE_SYSTEMS: Final[dict[int, str]] = {
    0xEF53: "ext4",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0xF2F52010: "f2fs",
    0x2FC12FC1: "zfs",
    0xCA451A4E: "bcachefs",
    0x01021994: "tmpfs",
    0x858458F6: "ramfs",
    0x6969: "nfs",
    0x65735546: "fuse",
    0x01021997: "9p",
    0x794C7630: "overlay",
    0xFF534D42: "cifs",
    0xFE534D42: "smb2",
    0x00C36400: "ceph",
}
"""By the magic number that statfs(2) gives."""
_DOUBTFUL: Final[dict[str, str]] = {
    **dict.fromkeys(
        ("nfs", "fuse", "9p", "cifs", "smb2", "ceph"),
        "its locks, shared memory or syncs may not be what a write-ahead log needs",
    ),
    "overlay": "it is a container's own layer, as a rule: it may vanish with the container",
    **dict.fromkeys(("tmpfs", "ramfs"), "it is memory: nothing survives a reboot, and what is stored takes RAM"),
}
_BACKPORTS: Final = {(3, 44): 6, (3, 50): 7}


def sqlite_check(version: str) -> Check:
    """Whether this SQLite is one of those that can lose committed writes, and why it does not here."""
    if not has_wal_reset_bug(version):
        return ok("sqlite", f"{version}, without the WAL-reset bug")
    return warn(
        "sqlite",
        f"{version} is in the range of the WAL-reset bug (3.7.0 to 3.51.2), which can lose commits where two "
        "connections write one database; avoided here by design: one connection alone writes and checkpoints",
        "never write to queue.db with another program while the daemon runs; SQLite 3.51.3 (or 3.44.6, 3.50.7) is cured",
    )


def has_wal_reset_bug(version: str) -> bool:
    """3.7.0 to 3.51.2, but for the backports from 3.44.6 and 3.50.7 on."""
    major, minor, patch = (int(part) for part in version.split(".")[:3])
    cured_from = _BACKPORTS.get((major, minor))
    if cured_from is not None and patch >= cured_from:
        return False
    return (3, 7, 0) <= (major, minor, patch) <= (3, 51, 2)


def synchronous_check(synchronous: str) -> Check:
    """Whether what is acknowledged outlives a power loss."""
    if synchronous == "full":
        return ok("synchronous", "full: what is acknowledged outlives a power loss")
    return warn(
        "synchronous",
        f"{synchronous}: a power loss or a crash of the machine may undo what was acknowledged last",
        'set synchronous = "full", unless that is what you chose speed for',
    )


def folder_check(name: str, path: str, seen: os.stat_result, uid: int, *, most: int | None, replaceable: bool) -> Check:
    """Owner and mode of a folder. `most`: the widest mode that one of the daemon's own may have, None for one that
    need not be; `replaceable`: others may replace what is in it.
    """
    mode = stat.S_IMODE(seen.st_mode)
    found = f"{path}, uid {seen.st_uid}, mode {mode:04o}"
    if not stat.S_ISDIR(seen.st_mode):
        return fail(name, f"{path} is no folder", f"remove {path}, or choose another one")
    if most is not None and seen.st_uid != uid:
        return fail(name, f"{found}: it belongs to another user", f"run the daemon as uid {seen.st_uid}")
    if replaceable:
        return fail(name, f"{found}: others may replace what is in it", f"chmod go-w {path}")
    if most is not None and mode & 0o777 & ~most:
        return fail(name, f"{found}: others may enter it", f"chmod {most:o} {path}")
    return ok(name, found)


def socket_check(path: str, seen: os.stat_result, group: str | None) -> Check:
    """Owner and mode of the control socket."""
    mode = stat.S_IMODE(seen.st_mode)
    found = f"{path}, uid {seen.st_uid}, gid {seen.st_gid}, mode {mode:04o}"
    if not stat.S_ISSOCK(seen.st_mode):
        return fail("socket", f"{path} is no socket", "stop the daemon and start it again")
    allowed = 0o600 if group is None else 0o660
    if mode & 0o777 & ~allowed:
        return fail("socket", f"{found}: more users may connect than the settings say", f"chmod {allowed:o} {path}")
    return ok("socket", found)


def file_system_check(magic: int, path: str) -> Check:
    """Whether the file system under the state folder is fit for a database."""
    kind = FILE_SYSTEMS.get(magic)
    if kind is None:
        return ok("filesystem", f"{path} lies on a file system of an unknown kind ({magic:#x})")
    if kind in _DOUBTFUL:
        return warn("filesystem", f"{path} lies on {kind}: {_DOUBTFUL[kind]}", "put state_dir on a local disk")
    return ok("filesystem", f"{path} lies on {kind}")


def space_check(free: int, total: int) -> Check:
    """Free bytes for the state folder."""
    found = f"{format_size(free)} of {format_size(total)} are free"
    remedy = "make room, or lower the time that finished jobs are kept"
    if free < LEAST_SPACE:
        return fail("space", f"{found}: less than {format_size(LEAST_SPACE)}, submits are or will be refused", remedy)
    if free < LITTLE_SPACE or free < LITTLE_SHARE * total:
        return warn("space", found, remedy)
    return ok("space", found)


def inodes_check(free: int, total: int) -> Check:
    """Files that can still be made; some file systems do not count them."""
    if total == 0:
        return ok("inodes", "this file system does not count them")
    found = f"{free} of {total} are free"
    if free < 1000:
        return fail("inodes", found, "remove small files: each running job needs some")
    if free < LITTLE_SHARE * total:
        return warn("inodes", found, "remove small files: each job needs some")
    return ok("inodes", found)


def database_checks(path: str, checkup: Checkup, now_us: int) -> list[Check]:
    """Damage, links, the write-ahead log, and whether the clock went back."""
    return [
        _damage_check(path, checkup),
        _links_check(path, checkup.links),
        _wal_check(checkup.wal_size),
        _clock_check(checkup.newest_event_us, now_us),
    ]


def _damage_check(path: str, checkup: Checkup) -> Check:
    if checkup.damage.findings:
        found = "; ".join(checkup.damage.findings)
        return fail("database", f"{path} is damaged: {found}", "stop the daemon and restore a backup")
    size = format_size(checkup.size)
    if not checkup.damage.whole:
        return ok("database", f"{path}, {size}: no damage in the part that was checked within about a second")
    return ok("database", f"{path}, {size}: no damage")


def _links_check(path: str, links: int) -> Check:
    if links == 1:
        return ok("database_links", "one name")
    if links == 0:
        return fail(
            "database_links", f"{path} was removed while it is open: everything is lost with the daemon's end",
            "copy it now (the daemon still has it open: /proc/PID/fd), stop the daemon, restore",
        )  # fmt: skip
    return fail(
        "database_links", f"{path} has {links} hard links: opened by another name, its log would be lost",
        f"find the other name and remove it: find / -xdev -samefile {path}",
    )  # fmt: skip


def _wal_check(size: int) -> Check:
    found = f"the write-ahead log has {format_size(size)}"
    if size > LARGE_WAL:
        return warn("wal", f"{found}: somebody reads for long and holds it up", "end whoever has queue.db open")
    return ok("wal", found)


def _clock_check(newest_us: int | None, now_us: int) -> Check:
    if newest_us is None:
        return ok("clock", "nothing has happened yet that it could be compared with")
    ahead_s = (newest_us - now_us) / 1e6
    if ahead_s > CLOCK_SLACK_S:
        return warn(
            "clock",
            f"the newest event lies {format_duration(ahead_s)} in the future: the clock was put back since",
            "set the clock by NTP; jobs with a delay start late by that much",
        )
    return ok("clock", f"the newest event is {format_duration(max(0.0, -ahead_s))} old")
