"""The words of the interface: states, reasons, error codes. Plain data, stdlib only.

The command imports this file without the rest of the daemon; it must stay cheap. Names here are API: they may
be added to, never renamed or removed.
"""

from __future__ import annotations

from typing import Final, NamedTuple

PROTOCOL: Final = 1
"""The control protocol's number. It is not the release: within one number, messages are only added to."""

SCHEDULED: Final = "scheduled"
QUEUED: Final = "queued"
RUNNING: Final = "running"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"

STATES: Final[dict[str, str]] = {
    SCHEDULED: "due later: delayed, waiting to be tried again, or waiting for other jobs",
    QUEUED: "due now, waiting for a free worker",
    RUNNING: "leased to a worker",
    COMPLETED: "its main process ended with exit code 0",
    FAILED: "ended in any other way; the reason says which",
    CANCELLED: "ended because somebody cancelled it, or because what it waited for cannot happen",
}
FINAL_STATES: Final = frozenset({COMPLETED, FAILED, CANCELLED})

REASONS: Final[dict[str, str]] = {
    "ok": "the main process exited with code 0",
    "exit": "the main process exited with another code",
    "signal": "the main process was ended by a signal that was not ours",
    "timeout": "it ran longer than its wall-clock limit (--timeout)",
    "cpu_limit": "its processes used more CPU time than allowed (--cpu)",
    "memory_limit": "its processes used more memory than allowed (--memory)",
    "process_limit": "it could not start another process or thread (--processes)",
    "file_limit": "it wrote a file larger than allowed (--file-size)",
    "output_limit": "it wrote more to stdout or stderr than is kept (--output)",
    "spawn_error": "it could not be started",
    "rejected": "its code was blocked, or every pool that takes its type declined it",
    "cancelled": "somebody cancelled it",
    "dependency": "a job it waited for ended in a way that can never satisfy --after",
    "worker_lost": "the worker process that ran it died",
    "host_lost": "the supervisor or the machine died while it ran",
    "interrupted": "the supervisor was shutting down",
    "stuck": "a process of it cannot be killed (it hangs inside the kernel)",
}

RUNTIMES: Final[dict[str, tuple[str, ...]]] = {
    "node": (".js", ".mjs", ".cjs", ".ts", ".mts", ".cts"),
    "python": (".py",),
    "shell": (".sh", ".bash"),
    "exec": (),
}
"""The job types of scripts, and the endings by which their files are known; `exec` runs the file itself."""

ISOLATION: Final[dict[str, str]] = {
    "namespace": "its own user, processes, network, files, IPC and hostname, under a filter of system calls",
    "landlock": "the machine's processes and network names, but files, connections and system calls are confined",
    "plain": "limits, a private folder and no new privileges: what the job's user may reach, it can reach",
}
"""The levels of isolation, strongest first."""

EVENTS: Final[dict[str, str]] = {
    "submitted": "the job was stored",
    "met": "a job that it waits for ended as it wanted; it still waits: for others, or for its own time",
    "due": "nothing keeps it from running any more: its time has come, and what it waited for has ended",
    "running": "a worker took it: an attempt begins",
    "progress": "the job said how far it is; at most five a second, and the last one always",
    "cancelling": "somebody cancelled it while it runs",
    "completed": "its attempt ended well, and the job with it",
    "failed": "its attempt ended otherwise, and the job with it",
    "retrying": "its attempt failed and will be tried again",
    "released": "its attempt was lost, interrupted or never started, and the job is queued again",
    "cancelled": "the job is cancelled",
    "retried": "somebody queued a finished job again",
    "outputs_removed": "what its attempts printed and left was removed by retention; the record stays",
    "queue_paused": "a queue was paused, or (`*`) all of them",
    "queue_resumed": "a queue was resumed, or (`*`) all of them",
    "daemon_started": "the daemon has started",
    "daemon_stopped": "the daemon has stopped in order",
    "daemon_upgraded": "the daemon has gone over to new code in place; jobs went on",
    "broker_restarted": "the broker had died and another one took over; jobs went on",
    "clock_set_back": "the machine's clock was put back; what waited for the time it had shown was moved along",
    "settings_reloaded": "the settings were read again",
    "worker_started": "a worker process is there and can take jobs",
    "worker_died": "a worker process ended by itself or by a signal; another takes its place, after a while or at once",
    "worker_recycled": "a worker process made room for a fresh one between two jobs",
    "worker_stopped": "a worker process ended and is not replaced",
}
"""What happens to jobs, to workers and to the daemon: the kinds of events."""

EVIDENCE: Final[dict[str, str]] = {
    "exact": "read from the kernel, or our own decision",
    "inferred": "concluded from how it ended and what was measured",
    "text": "concluded from what the job itself wrote, which a job can forge",
}


class Code(NamedTuple):
    """What an error code means to each kind of caller."""

    exit_status: int
    http_status: int
    meaning: str


CODES: Final[dict[str, Code]] = {
    "bad_frame": Code(2, 400, "the line is not one JSON object in UTF-8"),
    "frame_too_large": Code(2, 413, "the line is longer than 1 MiB"),
    "frame_timeout": Code(2, 408, "the line was not complete within 5 s of its first byte"),
    "unsupported_version": Code(2, 400, "client and daemon share no protocol number"),
    "unknown_op": Code(2, 400, "there is no such operation"),
    "bad_request": Code(2, 400, "a field is missing, unknown, of the wrong type or out of range"),
    "unknown_source": Code(2, 422, "the content named by its sha256 has not been put"),
    "bad_settings": Code(2, 422, "the settings that were to be reloaded are wrong: nothing was changed"),
    "not_found": Code(3, 404, "there is no such job, or it is not yours"),
    "wrong_state": Code(4, 409, "the job's state does not allow it"),
    "conflict": Code(4, 409, "the same request_id with other content, or the unique key is taken"),
    "stale_lease": Code(4, 409, "the lease is no longer held: the attempt has ended otherwise"),
    "permission_denied": Code(6, 403, "your user may not do this"),
    "unauthorized": Code(6, 401, "the request has no token, or a wrong one (over HTTP alone)"),
    "rate_limited": Code(8, 429, "too many requests from this address (over HTTP alone)"),
    "above_maximum": Code(6, 422, "a limit is above the pool's maximum"),
    "below_floor": Code(2, 422, "a limit is so low that the interpreter would hang instead of failing"),
    "not_allowed": Code(6, 403, "the pool does not allow it"),
    "unsupported": Code(6, 422, "this machine or this release cannot do it"),
    "blocked": Code(6, 422, "the code check blocks this script"),
    "preflight_failed": Code(
        6, 422, "the new code is not fit to take over from the running daemon: nothing was changed"
    ),
    "queue_full": Code(8, 429, "the queue has reached its depth cap"),
    "busy": Code(7, 503, "too many connections, or the daemon is short of open files"),
    "lagged": Code(7, 503, "the follower read too slowly and was dropped; resume from its cursor"),
    "stopping": Code(5, 503, "the daemon is shutting down"),
    "no_daemon": Code(5, 503, "no daemon answers on the socket"),
    "storage_full": Code(7, 507, "the disk is full: nothing was stored"),
    "outcome_unknown": Code(
        7, 503, "the commit failed: it may or may not have happened; repeat with the same request_id"
    ),
    "internal": Code(7, 500, "a defect of the daemon; its log says more"),
    "wait_timeout": Code(124, 504, "the wait timed out; the jobs go on"),
}
