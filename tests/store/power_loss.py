"""What a disk may hold after the power went: files rebuilt from a recorded sequence of system calls.

The model. What was synced (fsync, fdatasync of the file) is there. Of what was written since, each 512-byte sector
holds any one of the contents that it had since the last sync, sectors independently of one another (so writes are lost
wholly, partly, torn and out of order), and the file has any length that it had. Names (create, rename, unlink) are kept
up to the folder's last sync and from there in order up to some point, as journaling file systems keep them.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from tests.store.recorded_writer import ACKS

SECTOR = 512
CALLS = (
    "openat,pwrite64,write,pwritev,pwritev2,writev,fsync,fdatasync,sync_file_range,ftruncate,truncate,fallocate,"
    "rename,renameat,renameat2,unlink,unlinkat,link,linkat,copy_file_range,sendfile"
)
Kept = Literal["nothing", "everything", "a beginning", "sectors"]
KINDS: tuple[Kept, ...] = ("nothing", "sectors", "a beginning", "sectors", "everything")


class Call(NamedTuple):
    """One recorded call. `path` is the file's name below the folder; `data`, `offset` as the call has them."""

    name: str
    path: str
    data: bytes = b""
    offset: int = 0
    target: str = ""


# Recording


def record(folder: Path, trace: Path, *arguments: str) -> list[Call]:
    """Runs the recorded writer on `folder` and returns its calls, in the order in which the kernel was asked."""
    (folder / "spool").mkdir(parents=True)
    reading, writing = os.pipe()
    os.close(reading)
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, ACKS)
    try:
        subprocess.run(
            ["strace", "-f", "-y", "-xx", "-s", str(1 << 21), "-e", f"trace={CALLS}", "-o", str(trace),
             sys.executable, "-m", "tests.store.recorded_writer", str(folder), *arguments],
            check=True, pass_fds=(ACKS,), cwd=Path(__file__).parents[2],
        )  # fmt: skip
    finally:
        for descriptor in (writing, sink, ACKS):
            os.close(descriptor)
    return list(_calls(trace, str(folder)))


_LINE = re.compile(r"^\d+ +(?P<name>\w+)\((?P<inside>.*)\) += (?P<result>-?\d+)(?:<(?P<opened>[^>]*)>)?(?: .*)?$")
_UNFINISHED = re.compile(r"^(?P<pid>\d+) +(?P<begun>.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(?P<pid>\d+) +<\.\.\. \w+ resumed>(?P<rest>.*)$")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_FD = re.compile(r"^(\d+)<((?:\\x[0-9a-f]{2})*)>")


def _calls(trace: Path, folder: str) -> Iterator[Call]:
    for line in _whole_lines(trace):
        found = _LINE.match(line)
        if found is None or found["result"].startswith("-"):
            continue
        call = _call_of(found, f"{folder}/")
        if call is not None:
            yield call


def _whole_lines(trace: Path) -> Iterator[str]:
    """Calls at their return; a sync at its beginning, since it vouches only for what was written before."""
    begun: dict[str, str] = {}
    with open(trace, encoding="ascii") as file:
        for line in file:
            line = line.rstrip("\n")
            if (unfinished := _UNFINISHED.match(line)) and "sync(" in unfinished["begun"]:
                yield f"{unfinished['pid']} {unfinished['begun']}) = 0"
            elif unfinished:
                begun[unfinished["pid"]] = unfinished["begun"]
            elif (resumed := _RESUMED.match(line)) and resumed["pid"] not in begun:
                assert resumed["rest"].endswith("= 0"), line
            elif resumed:
                yield f"{resumed['pid']} {begun.pop(resumed['pid'])}{resumed['rest']}"
            else:
                yield line


def _call_of(found: re.Match[str], folder: str) -> Call | None:
    name, inside = found["name"], found["inside"]
    strings = [_bytes(text) for text in _STRING.findall(inside)]
    descriptor = _FD.match(inside)
    if descriptor is not None and int(descriptor[1]) == ACKS and name == "write":
        return Call("acknowledge", "", strings[0])
    path = _bytes(descriptor[2]).decode() if descriptor else strings[0].decode() if strings else ""
    if not f"{path}/".startswith(folder):
        return None
    path = path[len(folder) :]
    numbers = [int(number) for number in re.findall(r", (\d+)(?=,|$)", _STRING.sub("", inside))]
    match name:
        case "openat":
            # strace shows the folder's descriptor first; the name that was asked for is the string.
            made = strings[0].decode()[len(folder) :]
            return Call("create", made) if "O_CREAT" in inside and made else None
        case "pwrite64":
            return Call("write", path, strings[0][: int(found["result"])], numbers[-1])
        case "write":
            return Call("append", path, strings[0][: int(found["result"])])
        case "fsync" | "fdatasync":
            return Call("sync", path)
        case "ftruncate":
            return Call("truncate", path, offset=numbers[-1])
        case "fallocate":
            return Call("truncate", path, offset=numbers[-1])
        case "rename":
            return Call("rename", path, target=strings[1].decode()[len(folder) :])
        case "unlink":
            return Call("unlink", path)
    raise AssertionError(f"a call that the model does not know: {name}({inside[:200]})")


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


# Replaying


@dataclass
class _File:
    """`synced` is on the disk; `since` is what was done to it after that, and `now` what a reader would see."""

    synced: bytes = b""
    now: bytearray = field(default_factory=bytearray)
    since: list[tuple[int, bytes] | int] = field(default_factory=list)

    def write(self, offset: int, data: bytes) -> None:
        _put(self.now, offset, data)
        self.since.append((offset, data))

    def cut(self, length: int) -> None:
        _cut(self.now, length)
        self.since.append(length)

    def sync(self) -> None:
        self.synced = bytes(self.now)
        self.since.clear()

    def after_power_loss(self, kept: Kept, dice: random.Random) -> bytes:
        if kept == "everything":
            return bytes(self.now)
        if kept == "nothing" or not self.since:
            return self.synced
        last = dice.randint(0, len(self.since))
        if kept == "a beginning":
            return bytes(self._version(last))
        return self._sectors(dice)

    def _version(self, number: int) -> bytearray:
        """What it held after so many of the changes since the last sync."""
        content = bytearray(self.synced)
        for change in self.since[:number]:
            if isinstance(change, int):
                _cut(content, change)
            else:
                _put(content, *change)
        return content

    def _sectors(self, dice: random.Random) -> bytes:
        picks = sorted({0, *(dice.randint(0, len(self.since)) for _ in range(6)), len(self.since)})
        versions = [self._version(number) for number in picks]
        result = bytearray(len(dice.choice(versions)))
        for start in range(0, len(result), SECTOR):
            sector = bytes(dice.choice(versions)[start : start + SECTOR]).ljust(SECTOR, b"\0")
            result[start : start + SECTOR] = sector[: len(result) - start]
        return bytes(result)


def _put(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _cut(content: bytearray, length: int) -> None:
    if length <= len(content):
        del content[length:]
    else:
        content.extend(bytes(length - len(content)))


class Disk:
    """The folder as the recorded calls make it. Apply them one by one; at any point the power may go."""

    def __init__(self) -> None:
        self.acknowledged: list[str] = []
        self._names: dict[str, _File] = {}
        self._synced_names: dict[str, _File] = {}
        self._since: list[dict[str, _File]] = []

    def apply(self, call: Call) -> None:
        """Does one call."""
        match call.name:
            case "acknowledge":
                self.acknowledged += call.data.decode().split()
            case "create" if call.path not in self._names:
                self._name({**self._names, call.path: _File()})
            case "write" if call.path in self._names:
                self._names[call.path].write(call.offset, call.data)
            case "append" if call.path in self._names:
                self._names[call.path].write(len(self._names[call.path].now), call.data)
            case "truncate" if call.path in self._names:
                self._names[call.path].cut(call.offset)
            case "rename":
                others = {name: file for name, file in self._names.items() if name != call.path}
                self._name({**others, call.target: self._names[call.path]})
            case "unlink":
                self._name({name: file for name, file in self._names.items() if name != call.path})
            case "sync" if call.path in self._names:
                self._names[call.path].sync()
            case "sync":
                # A folder's. Syncing one of them makes all names durable here, as one journal does for a file system.
                self._synced_names = self._names
                self._since.clear()

    def after_power_loss(self, kept: Kept, dice: random.Random) -> dict[str, bytes]:
        """What is found when the power is back: content by name."""
        last = {"nothing": 0, "everything": len(self._since)}.get(kept, dice.randint(0, len(self._since)))
        names = self._since[last - 1] if last else self._synced_names
        return {name: file.after_power_loss(kept, dice) for name, file in names.items()}

    def _name(self, names: dict[str, _File]) -> None:
        self._names = names
        self._since.append(names)
