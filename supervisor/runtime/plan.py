"""How a script is started: argv, environment and kernel limits, from the job and the interpreter. Pure.

`node file.js args` means exactly that; the one flag that may be added tells V8 of a memory limit that the job asked
for. Limits of the kernel stand behind those that the keeper enforces; RLIMIT_AS is never used, since Node reserves
address space it does not use.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

from supervisor.core.job import JobSpec
from supervisor.core.limits import MIB
from supervisor.runtime.classify import shebang
from supervisor.runtime.interpreter import JOB_PATH, Interpreter

DATA_SLACK_BYTES: Final = 64 * MIB
LARGE_IDLE_DATA_BYTES: Final = 256 * MIB
"""From Node 24 on the code range counts as data, once more for each worker thread: no fixed number fits."""
RLIM_INFINITY: Final = -1


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`argv[0]` is absolute; `rlimits` maps names without RLIMIT_ to (soft, hard)."""

    argv: tuple[str, ...]
    env: dict[str, str]
    rlimits: dict[str, tuple[int, int]]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where the job is, as the job sees it."""

    job_dir: str
    output_dir: str
    tmp_dir: str


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the environment tells a job about itself."""

    job: int
    attempt: int
    queue: str
    type: str
    passed: dict[str, str]
    time_zone: str
    mark: dict[str, str]


def plan_script(spec: JobSpec, facts: Facts, place: Place, interpreter: Interpreter | None, head: bytes) -> Plan:
    """The plan for a script job. `head` is the beginning of the main file; it decides how a shell script starts."""
    main = f"{place.job_dir}/{spec.main}"
    return Plan(
        argv=(*_command(facts.type, main, interpreter, head, _flags(spec, facts.type)), *spec.args),
        env=_environment(spec, facts, place, interpreter),
        rlimits=_rlimits(spec, interpreter),
    )


def _flags(spec: JobSpec, job_type: str) -> tuple[str, ...]:
    """V8 collects its garbage in time only if it knows its limit; telling it costs a sixth of Node's start.

    So it is told where a job chose its own limit. At the default one a heap that small is rare.
    """
    memory = spec.limits.memory_bytes
    if job_type != "node" or memory is None or "memory_bytes" not in spec.asked:
        return ()
    return (f"--max-old-space-size={max(32, memory * 3 // 4 // MIB)}",)


def _command(
    job_type: str, main: str, interpreter: Interpreter | None, head: bytes, flags: tuple[str, ...]
) -> tuple[str, ...]:
    if interpreter is not None:
        return (interpreter.path, *flags, main)
    if job_type == "shell":
        return (*(shebang(head) or ("/bin/sh",)), main)
    return (main,)


def _environment(spec: JobSpec, facts: Facts, place: Place, interpreter: Interpreter | None) -> dict[str, str]:
    env = {
        "PATH": _path(interpreter),
        "HOME": place.job_dir,
        "TMPDIR": place.tmp_dir,
        "LANG": "C.UTF-8",
        "TZ": facts.time_zone,
        "USER": "job",
    }
    if facts.type == "python":
        env["PYTHONUNBUFFERED"] = "1"
    env |= facts.passed
    env |= spec.env
    env |= {
        "JOB_ID": str(facts.job),
        "JOB_ATTEMPT": str(facts.attempt),
        "JOB_QUEUE": facts.queue,
        "JOB_PARAMS": bytes(spec.params).decode(),
        "JOB_DIR": place.job_dir,
        "JOB_OUTPUT_DIR": place.output_dir,
        "JOB_CHANNEL_FD": "3",
    }
    if facts.type == "node":
        env["NODE_CHANNEL_FD"] = "3"
    return env | facts.mark


def _path(interpreter: Interpreter | None) -> str:
    if interpreter is None:
        return JOB_PATH
    folder = interpreter.path.rpartition("/")[0]
    return JOB_PATH if folder in JOB_PATH.split(":") else f"{JOB_PATH}:{folder}"


def _rlimits(spec: JobSpec, interpreter: Interpreter | None) -> dict[str, tuple[int, int]]:
    limits = spec.limits
    rlimits = {"CORE": (1, 1), "MEMLOCK": (0, 0), "MSGQUEUE": (0, 0), "NICE": (0, 0), "RTPRIO": (0, 0)}
    if limits.cpu_s is not None:
        soft = math.ceil(limits.cpu_s) + 1
        rlimits["CPU"] = (soft, soft + 1)
    if limits.memory_bytes is not None:
        data = _data_bytes(limits.memory_bytes, interpreter)
        if data is not None:
            rlimits["DATA"] = (data, data)
    if limits.open_files is not None:
        rlimits["NOFILE"] = (limits.open_files, limits.open_files)
    file_size = _file_size_bytes(spec)
    if file_size is not None:
        rlimits["FSIZE"] = (file_size, file_size)
    return rlimits


def _data_bytes(memory_bytes: int, interpreter: Interpreter | None) -> int | None:
    idle = interpreter.idle_data_bytes if interpreter is not None else 0
    if idle > LARGE_IDLE_DATA_BYTES:
        return None
    return idle + memory_bytes + DATA_SLACK_BYTES


def _file_size_bytes(spec: JobSpec) -> int | None:
    """FSIZE also holds for the output files: below their cap, Node would lose output silently and exit 0."""
    limit, output = spec.limits.file_size_bytes, spec.limits.output_bytes
    return None if limit is None else max(limit, (output or 0) + MIB)
