"""Interpreters that are started before their script is known: how they are started, and what is sent through the gate.

The gates themselves are in `gates/`; the descriptor and the words of the conversation are the sandbox's. Pure but for
`install`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import Final

from supervisor.core.job import JobSpec
from supervisor.runtime.interpreter import Interpreter
from supervisor.runtime.plan import Plan

KINDS: Final = ("node", "python")
LATE_LIMITS: Final = frozenset({"CPU", "NOFILE", "FSIZE"})
"""Limits that an interpreter does not look at while it boots: they are set when the job is known."""

_SOURCES: Final = os.path.join(os.path.dirname(__file__), "gates")
_INSTALLED: Final = {"node.cjs": "node_gate.cjs", "sitecustomize.py": "python_gate.py", "warm.js": "warm.js"}
_EMPTY_PACKAGE: Final = {"package.json": b"{}\n"}
"""Where Node's search for one ends: it remembers each folder in which it found none."""
_LONGEST_NAME: Final = 1024
_LONGEST_MESSAGE_BYTES: Final = 64 << 10
_CONSUMED_AT_BOOT: Final = {"node": frozenset({"NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE"})}
"""Variables that the interpreter removes when it has heeded them."""
_READ_AT_BOOT: Final = (
    "NODE", "PYTHON", "UV_", "V8_", "LD_", "SSL_", "OPENSSL_", "MALLOC_", "GLIBC_", "LC_", "LANG", "ICU_", "TZ", "HOME",
    "LOCPATH", "GCONV_PATH", "XDG_", "COVERAGE_", "ASAN_", "LSAN_", "UBSAN_", "WATCH_REPORT_DEPENDENCIES",
)  # fmt: skip


def install(folder: str) -> None:
    """Puts the gates into `folder`, where jobs can read and not change them."""
    os.makedirs(folder, 0o755, exist_ok=True)
    os.chmod(folder, 0o755)  # noqa: S103 - the jobs' uid must read it, whatever our umask
    for name, content in _contents().items():
        draft = os.path.join(folder, f".{name}")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
        with open(draft, "xb") as file:
            file.write(content)
        os.chmod(draft, 0o444)
        os.rename(draft, os.path.join(folder, name))
    os.chmod(folder, 0o555)  # noqa: S103 - as above


def uninstall(folder: str) -> None:
    """Removes what `install` made."""
    with contextlib.suppress(OSError):
        os.chmod(folder, 0o755)  # noqa: S103 - a folder without write permission cannot be emptied by an ordinary user
        for name in _contents():
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)


def fingerprint() -> str:
    """Names this release's gates, for what was found out about them."""
    digest = hashlib.sha256()
    for content in _contents().values():
        digest.update(content)
    return digest.hexdigest()[:16]


def _contents() -> dict[str, bytes]:
    found = dict(_EMPTY_PACKAGE)
    for name, source in _INSTALLED.items():
        with open(os.path.join(_SOURCES, source), "rb") as file:
            found[name] = file.read()
    return found


def start(kind: str, plan: Plan, interpreter: Interpreter, folder: str) -> Plan:
    """How a spare is started: `plan` is that of a job without a script. `folder` is where it sees the gates."""
    env = dict(plan.env)
    if kind == "node":
        gate = f"{folder}/node.cjs"
        words: tuple[str, ...] = ("--require", gate, gate)
    else:
        env["PYTHONPATH"] = f"{folder}:{env['PYTHONPATH']}" if env.get("PYTHONPATH") else folder
        words = ("/" + "spare-" * (_LONGEST_NAME // 6),)
    limits = {name: limit for name, limit in plan.rlimits.items() if name not in LATE_LIMITS}
    return Plan(argv=(interpreter.path, *words), env=env, rlimits=limits)


def suits(spec: JobSpec) -> bool:
    """Whether a job of this kind can come after its interpreter: not if it has files of its own to be unpacked, a
    stdin, or one stream for both outputs, which are there from the start."""
    return (
        spec.main is not None
        and not spec.merge
        and spec.stdin is None
        and all(content.kind == "file" for content in spec.contents)
    )


def fits(plan: Plan, base: Plan) -> bool:
    """Whether a job that would be started by `plan` is the same behind a gate. `base` is the plan given to `start`."""
    interpreter, main, *_ = plan.argv
    return (
        interpreter == base.argv[0]
        and len(main) < _LONGEST_NAME - 10
        and _early(plan) == _early(base)
        and _boot_variables(plan.env) == _boot_variables(base.env)
    )


def late(plan: Plan) -> dict[str, tuple[int, int]]:
    """The limits that a spare is still to be given."""
    return {name: limit for name, limit in plan.rlimits.items() if name in LATE_LIMITS}


def message(kind: str, plan: Plan) -> bytes | None:
    """What goes through the gate: the number of words, the words from the main file on, the environment. None if it is
    too long for it."""
    consumed = _CONSUMED_AT_BOOT.get(kind, frozenset())
    words = plan.argv[1:]
    variables = [f"{name}={value}" for name, value in plan.env.items() if name not in consumed]
    content = "\0".join([str(len(words)), *words, *variables]).encode("utf-8", "surrogateescape")
    whole = b"%d\n%b" % (len(content), content)
    return whole if len(whole) <= _LONGEST_MESSAGE_BYTES else None


def _early(plan: Plan) -> dict[str, tuple[int, int]]:
    return {name: limit for name, limit in plan.rlimits.items() if name not in LATE_LIMITS}


def _boot_variables(env: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(_READ_AT_BOOT)}
