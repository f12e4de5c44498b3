"""Every key of the settings as data: its name, kind, default and meaning. Documentation and errors are made of it.

A key's `field` is where its value goes in the resolved settings. Defaults given as words are computed at load.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from supervisor.config.kinds import ABSOLUTE_PATH, DURATION, PATH, SIZE, TEXT, Kind, choice, count, names, or_none
from supervisor.config.settings import JOB_TYPES
from supervisor.core.names import ISOLATION

POOL_NAME: Final = r"(?!.*__)[a-z][a-z0-9_-]{0,31}"
MAX_WORKERS: Final = 1024
MAX_ARTIFACTS: Final = 10_000


@dataclass(frozen=True)
class Key:
    """One key. `default` is the text that the documentation prints for it."""

    name: str
    field: str
    kind: Kind
    default: str
    description: str


def _table(*keys: Key) -> dict[str, Key]:
    return {key.name: key for key in keys}


DAEMON: Final = _table(
    Key(
        "state_dir",
        "state_dir",
        PATH,
        "/var/lib/worker-supervisor for root, else $XDG_STATE_HOME/worker-supervisor",
        "Folder of the queue, outputs and lock. One daemon a folder.",
    ),
    Key(
        "socket",
        "socket",
        PATH,
        "/run/worker-supervisor/control.sock for root, else $XDG_RUNTIME_DIR/worker-supervisor/control.sock",
        "The control socket, at most 107 bytes long.",
    ),
    Key(
        "socket_group",
        "socket_group",
        TEXT,
        "unset",
        "Group whose members may submit jobs and act on their own. Unset: only the daemon's user and root.",
    ),
    Key("kill_grace", "kill_grace_s", DURATION, "3s", "Time between SIGTERM and SIGKILL when a job is ended."),
    Key(
        "shutdown_timeout",
        "shutdown_timeout_s",
        DURATION,
        "30s",
        "How long running jobs may go on after a stop before they are ended and queued again.",
    ),
    Key("max_source", "max_source_bytes", SIZE, "256M", "Largest script or folder that is accepted."),
    Key(
        "slot_uid_base",
        "slot_uid_base",
        count(1000, 2**31 - 1 - MAX_WORKERS),
        "2000000",
        "As root, the jobs of worker slot N run as uid and gid slot_uid_base + N.",
    ),
)

LOG: Final = _table(
    Key(
        "level",
        "level",
        choice("debug", "info", "warning", "error"),
        "info",
        "The least important lines that are kept.",
    ),
    Key("format", "format", choice("auto", "text", "json"), "auto", "auto is text on a terminal, else JSON lines."),
    Key("file", "file", PATH, "unset", "File that lines are appended to. Unset: stderr."),
)

_WORD: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"

POOL: Final = _table(
    Key(
        "replicas",
        "replicas",
        count(0, MAX_WORKERS),
        "one per CPU, at least 2 (pool scripts); 1 (other pools)",
        "Number of workers: so many jobs of this pool run at once. --workers sets that of scripts.",
    ),
    Key(
        "types",
        "types",
        names("|".join(JOB_TYPES), f"job types out of {', '.join(JOB_TYPES)}"),
        ", ".join(JOB_TYPES),
        "The job types that this pool takes.",
    ),
    Key(
        "queues",
        "queues",
        names(_WORD, "queue names (letters, digits, dot, dash, underscore; at most 64)"),
        "all queues",
        "The queues that this pool takes jobs from.",
    ),
    Key(
        "isolation",
        "isolation",
        choice("auto", *ISOLATION),
        "auto",
        "How jobs are kept apart from the machine: auto takes the strongest level that works here.",
    ),
    Key(
        "isolation_minimum",
        "isolation_minimum",
        choice(*ISOLATION),
        "plain",
        "The weakest level that jobs may have. Where the machine has nothing as strong, jobs are refused.",
    ),
    Key(
        "network",
        "network",
        choice("never", "asked", "always"),
        "asked",
        "Whether jobs have a network: never, only those submitted with --network, or always.",
    ),
    Key(
        "retries",
        "retries",
        count(0, 1000),
        "0",
        "How often a failed job is tried again, unless its submit says.",
    ),
    Key(
        "on_loss",
        "on_loss",
        choice("requeue", "fail"),
        "requeue",
        "What happens to a job whose worker or machine died: run again, or failed because it must not run twice.",
    ),
    Key(
        "env_pass",
        "env_pass",
        names(r"[A-Za-z_][A-Za-z0-9_]{0,127}", "environment variable names"),
        "none",
        "Variables of the daemon's own environment that jobs get.",
    ),
    Key("node", "node", ABSOLUTE_PATH, "the first one found", "The Node interpreter of this pool."),
    Key("python", "python", ABSOLUTE_PATH, "the first one found", "The Python interpreter (or venv) of this pool."),
    Key(
        "modules",
        "modules",
        ABSOLUTE_PATH,
        "unset",
        "A folder that jobs find, read-only, as ./node_modules.",
    ),
    Key(
        "work",
        "work",
        choice("tmpfs", "disk"),
        "tmpfs",
        "Where a job's folder lies: in memory (and counted as memory), or on disk.",
    ),
    Key(
        "artifacts",
        "artifacts",
        count(0, MAX_ARTIFACTS),
        "1000",
        "How many files of $JOB_OUTPUT_DIR are kept of an attempt.",
    ),
    Key("artifact_bytes", "artifact_bytes", SIZE, "256M", "How many bytes these files may have together."),
    Key(
        "check",
        "check",
        choice("off", "warn", "block"),
        "warn",
        "What the code check does with a script at submit: nothing, say what it finds, or refuse it.",
    ),
)

_TIME: Final = or_none(DURATION)
_BYTES: Final = or_none(SIZE)
_NUMBER: Final = or_none(count(0, 10**9))

LIMIT: Final = _table(
    Key("wall", "wall_s", _TIME, "10m", "Wall-clock time."),
    Key("cpu", "cpu_s", _TIME, "as wall", "CPU time of all its processes together."),
    Key(
        "memory",
        "memory_bytes",
        _BYTES,
        "512M, or what gives all workers 80 % of RAM",
        "Memory of the tree.",
    ),
    Key("processes", "processes", _NUMBER, "256", "Processes and threads."),
    Key("open_files", "open_files", _NUMBER, "1024", "Open files of each process."),
    Key("file_size", "file_size_bytes", _BYTES, "256M", "Size of one file."),
    Key("disk", "disk_bytes", _BYTES, "256M", "Space of its folder."),
    Key("output", "output_bytes", _BYTES, "16M", "What is kept of stdout, and of stderr."),
)


def describe_settings() -> list[tuple[str, str, str, str]]:
    """Every key as (key, type, default, description), in the order in which they are explained best."""
    rows = [(key.name, key.kind.name, key.default, key.description) for key in DAEMON.values()]
    rows += [(f"log.{key.name}", key.kind.name, key.default, key.description) for key in LOG.values()]
    rows += [(f"pools.NAME.{key.name}", key.kind.name, key.default, key.description) for key in POOL.values()]
    rows += [
        (f"pools.NAME.limits.{key.name}", key.kind.name, key.default, f"Default of a job: {_lower(key.description)}")
        for key in LIMIT.values()
    ]
    rows += [
        (f"pools.NAME.max.{key.name}", key.kind.name, "none", f"Most that a job may ask for: {_lower(key.description)}")
        for key in LIMIT.values()
    ]
    return rows


def _lower(sentence: str) -> str:
    return sentence if sentence.startswith("CPU") else sentence[0].lower() + sentence[1:]
