"""How a runner is started: argv, environment and kernel limits, from its pool. And how a handler is tried beforehand.

The program finds the package `supervisor` by its folder alone: no other module of the daemon's environment becomes
importable in an interpreter that is not the daemon's.
"""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from supervisor.config import Pool
from supervisor.core.limits import MIB

CHECK_WITHIN_S: Final = 60.0
_PACKAGE: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_PROGRAM: Final = """\
import sys, importlib.util
def _find(folder):
    spec = importlib.util.spec_from_file_location(
        "supervisor", folder + "/__init__.py", submodule_search_locations=[folder])
    module = importlib.util.module_from_spec(spec)
    sys.modules["supervisor"] = module
    spec.loader.exec_module(module)
_find(sys.argv[1])
"""
_RUN: Final = _PROGRAM + "from supervisor.runner.main import main\nmain(sys.argv[2])\n"
_CHECK: Final = _PROGRAM + (
    "import json\n"
    "from supervisor.runner.loading import load, types_of\n"
    "print(json.dumps(types_of(load(sys.argv[2], sys.argv[3:]))))\n"
)
_OUR_OWN: Final = "supervisor.runner.loading.BadHandler: "
_NOT_PASSED: Final = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


@dataclass(frozen=True)
class Account:
    """The user that a runner is to the machine."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str
    home: str


@dataclass(frozen=True)
class RunnerPlan:
    """`argv[0]` is absolute; `rlimits` maps names without RLIMIT_ to (soft, hard)."""

    argv: list[bytes | str]
    env: dict[str, str]
    rlimits: dict[str, tuple[int, int]]


def account_of(pool: Pool) -> Account:
    """The pool's `user`, else the daemon's own."""
    if pool.user is None:
        uid = os.geteuid()
        return Account(uid, os.getegid(), tuple(os.getgroups()), "", os.environ.get("HOME", "/"))
    found = pwd.getpwnam(pool.user)
    groups = tuple(os.getgrouplist(found.pw_name, found.pw_gid))
    return Account(found.pw_uid, found.pw_gid, groups, found.pw_name, found.pw_dir)


def plan_runner(
    pool: Pool, worker: str, account: Account, environ: Mapping[str, str], mark: dict[str, str]
) -> RunnerPlan:
    """The plan for the runner of a worker of this pool."""
    told = {
        "handler": pool.handler,
        "python_path": list(pool.python_path),
        "mode": pool.mode,
        "title": f"worker-supervisor: runner {worker}",
    }
    return RunnerPlan(
        argv=[_interpreter(pool), "-P", "-c", _RUN, _PACKAGE, json.dumps(told)],
        env=_environment(account, environ) | mark,
        rlimits=_rlimits(pool),
    )


def try_handler(pool: Pool) -> str | None:
    """Imports the pool's handler in a process of its own; None, or what is wrong with it, in one line."""
    assert pool.handler is not None
    try:
        done = subprocess.run(
            [_interpreter(pool), "-P", "-c", _CHECK, _PACKAGE, pool.handler, *pool.python_path],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CHECK_WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"its import did not end within {CHECK_WITHIN_S:.0f} s"
    except OSError as error:
        return f"{_interpreter(pool)}: {error.strerror}"
    if done.returncode == 0:
        return _types_are_there(pool, done.stdout)
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return (
        lines[-1].strip().removeprefix(_OUR_OWN)
        if lines
        else f"its import ended the process with status {done.returncode}"
    )


def _types_are_there(pool: Pool, said: bytes) -> str | None:
    types = json.loads(said.splitlines()[-1])
    if types or pool.types:
        return None
    return f"it names no types: give the class `types`, or set pools.{pool.name}.types"


def _interpreter(pool: Pool) -> str:
    return pool.python or sys.executable


def _environment(account: Account, environ: Mapping[str, str]) -> dict[str, str]:
    """The daemon's own environment: this is the operator's code, not a stranger's."""
    env = {name: value for name, value in environ.items() if name not in _NOT_PASSED}
    if account.name:
        env |= {"HOME": account.home, "USER": account.name, "LOGNAME": account.name}
    return env


def _rlimits(pool: Pool) -> dict[str, tuple[int, int]]:
    limits, rlimits = pool.limits, {}
    if limits.open_files is not None:
        rlimits["NOFILE"] = (limits.open_files, limits.open_files)
    if limits.file_size_bytes is not None:
        # It holds for the output files, too.
        most = max(limits.file_size_bytes, (limits.output_bytes or 0) + MIB)
        rlimits["FSIZE"] = (most, most)
    if limits.processes is not None and pool.user is not None:
        # The kernel counts all threads of a user: a limit is of use only to one that runs nothing else.
        rlimits["NPROC"] = (limits.processes, limits.processes)
    return rlimits
