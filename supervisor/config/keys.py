"""Every key of the settings as data: its name, kind, default and meaning. Documentation and errors are made of it.

A key's `field` is where its value goes in the resolved settings. Defaults given as words are computed at load.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from supervisor.config.kinds import (
    ABSOLUTE_PATH,
    DURATION,
    PATH,
    SIZE,
    TEXT,
    Kind,
    choice,
    count,
    matching,
    names,
    or_none,
    paths,
)
from supervisor.config.settings import JOB_TYPES
from supervisor.core.job import LARGEST_BATCH
from supervisor.core.names import ISOLATION
from supervisor.core.retry import RETRYABLE

QUEUE_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
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
    Key(
        "hang_timeout",
        "hang_timeout_s",
        DURATION,
        "30s",
        "A worker or broker without a sign of life for so long is hung, and replaced. At least 1s.",
    ),
    Key("max_source", "max_source_bytes", SIZE, "256M", "Largest script or folder that is accepted."),
    Key(
        "synchronous",
        "synchronous",
        choice("full", "normal"),
        "full",
        "What an acknowledgement outlives: full also a power loss, normal a crash of the daemon but maybe not that.",
    ),
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
        names(QUEUE_NAME, "job types (letters, digits, dot, dash, underscore; at most 64)"),
        f"{', '.join(JOB_TYPES)}; with a handler what its class says",
        "The job types that this pool takes: of scripts, or with a handler any names.",
    ),
    Key(
        "queues",
        "queues",
        names(QUEUE_NAME, "queue names (letters, digits, dot, dash, underscore; at most 64)"),
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
        "handler",
        "handler",
        matching(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", 'a class as "package.module:Class"'),
        "unset: a pool for scripts",
        'The Python class ("package.module:Class") that does the jobs of this pool.',
    ),
    Key(
        "python_path",
        "python_path",
        paths(),
        "none",
        "Folders in which the handler's modules are looked for, before PYTHONPATH.",
    ),
    Key(
        "mode",
        "mode",
        choice("resident", "fresh"),
        "resident",
        "A handler's process: resident does one job after the other, fresh is forked anew for each.",
    ),
    Key("user", "user", TEXT, "the daemon's own", "As root, the user that the handler runs as."),
    Key(
        "lease_batch",
        "lease_batch",
        count(1, LARGEST_BATCH),
        "1",
        "How many tiny jobs a handler's worker takes at once; they are run one after the other.",
    ),
    Key(
        "max_jobs",
        "max_jobs",
        or_none(count(1, 10**9)),
        "none",
        "A worker's process (with a handler: the handler's) is replaced after so many jobs, give or take 10 %.",
    ),
    Key(
        "max_rss",
        "max_rss_bytes",
        or_none(SIZE),
        "none",
        "It is replaced when it has more memory than that after a job, and killed when a worker has twice that within one.",
    ),
    Key(
        "max_age",
        "max_age_s",
        or_none(DURATION),
        "none",
        "It is replaced after the first job that ends past that age, give or take 10 %.",
    ),
    Key(
        "retries",
        "retries",
        count(0, 1000),
        "0 (scripts), 3 (handlers)",
        "How often a failed job is tried again, unless its submit says.",
    ),
    Key(
        "retry_on",
        "retry_on",
        names("|".join(RETRYABLE), f"reasons out of {', '.join(RETRYABLE)}"),
        ", ".join(RETRYABLE),
        "After which reasons it is tried again; any other one ends the job. Losses have a budget of their own.",
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
    Key(
        "prestart",
        "prestart",
        count(0, 1),
        "1",
        "How many interpreters each idle worker keeps booted for its next job; about 30 MiB each.",
    ),
)

QUEUE: Final = _table(
    Key(
        "max_queued",
        "max_queued",
        or_none(count(0, 10**9)),
        "none",
        "How many jobs may wait in the queue (scheduled and queued): one more is refused with queue_full.",
    ),
    Key(
        "max_running",
        "max_running",
        or_none(count(0, 10**9)),
        "none",
        "How many jobs of the queue may run at once, whatever workers are free.",
    ),
)

RETENTION: Final = _table(
    Key("completed", "completed_s", or_none(DURATION), "7d", "How long completed jobs are kept after their end."),
    Key("failed", "failed_s", or_none(DURATION), "30d", "How long failed jobs are kept after their end."),
    Key("cancelled", "cancelled_s", or_none(DURATION), "30d", "How long cancelled jobs are kept after their end."),
    Key("max_completed", "max_completed", or_none(count(0, 10**9)), "none", "How many completed jobs are kept."),
    Key("max_failed", "max_failed", or_none(count(0, 10**9)), "none", "How many failed jobs are kept."),
    Key("max_cancelled", "max_cancelled", or_none(count(0, 10**9)), "none", "How many cancelled jobs are kept."),
    Key(
        "outputs",
        "outputs_bytes",
        or_none(SIZE),
        "5G",
        "What outputs and artifacts may take on the disk in all. Those of the jobs that ended first go first; "
        "the jobs' records stay.",
    ),
    Key(
        "events",
        "events_s",
        or_none(DURATION),
        "30d",
        "How long events of workers and of the daemon are kept. Those of a job go with it.",
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
