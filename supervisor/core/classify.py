"""From what is known of an end to one `Outcome`. A table of rules; the first that matches wins.

Own kills come from intent that was recorded before the signal, never from seeing signal 9. A success needs a wait
status that was really read. What only the job's own text suggests is marked `text` and never overrides an exact cause.
"""

from __future__ import annotations

import errno as errnos
import re
import signal
from collections.abc import Callable
from typing import Final

from supervisor.core.limits import Limits
from supervisor.core.outcome import Ending, Evidence, LaunchFailure, Outcome, signal_name
from supervisor.core.units import format_duration, format_size

_OUT_OF_MEMORY_TEXT: Final = re.compile(
    rb"heap out of memory|Fatal process (?:OOM|out of memory)|std::bad_alloc|Array buffer allocation failed"
    rb"|could not allocate memory|MemoryError|Cannot allocate"
)
_FILE_TOO_LARGE_TEXT: Final = re.compile(rb"EFBIG|File too large")
_NO_PROCESS_TEXT: Final = re.compile(rb"EAGAIN|Resource temporarily unavailable|Cannot fork|can't start new thread")
_NO_NETWORK_TEXT: Final = re.compile(
    rb"ENETUNREACH|EAI_AGAIN|Network is unreachable|Temporary failure in name resolution|Could not resolve host"
)
_NO_MODULE_TEXT: Final = re.compile(
    rb"Cannot find (?:module|package) '([^'\n]{1,80})'|No module named '([^'\n]{1,80})'"
)
_CRASH_SIGNALS: Final = frozenset({signal.SIGABRT, signal.SIGSEGV, signal.SIGTRAP, signal.SIGBUS, signal.SIGILL})
_CRASH_CODES: Final = frozenset({132, 133, 134, 135, 139})


def classify(end: Ending, limits: Limits, *, network: bool = True) -> Outcome:
    """The outcome of an attempt that ended as `end` says under `limits`."""
    for rule in _RULES if end.remarkable else (_ok,):
        verdict = rule(end, limits)
        if verdict is not None:
            reason, evidence, message = verdict
            return Outcome(
                reason=reason,
                message=_with_hints(message, reason, end, network),
                evidence=evidence,
                exit_code=end.exit_code,
                signal=None if end.signal is None else signal_name(end.signal),
                wall_s=round(end.wall_s, 6),
                cpu_s=round(end.cpu_s, 6),
                peak_memory_bytes=max(end.peak_memory_bytes, end.max_rss_bytes),
                stdout_bytes=end.stdout_bytes,
                stderr_bytes=end.stderr_bytes,
                leftover_killed=end.leftover_killed,
                truncated=end.output_over,
                retryable=_retryable(reason, end),
            )
    raise AssertionError("the last rule matches everything")


Verdict = tuple[str, Evidence, str]
Rule = Callable[[Ending, Limits], Verdict | None]


def _stuck(end: Ending, _: Limits) -> Verdict | None:
    if end.stuck:
        return (
            "stuck",
            "exact",
            "a process of it hangs inside the kernel and cannot be killed; its worker slot is set aside",
        )
    return None


def _launch_failed(end: Ending, _: Limits) -> Verdict | None:
    failure = end.launch_failure
    if failure is None:
        return None
    if failure.kind == "exec":
        return "spawn_error", "exact", _exec_sentence(failure, end.program)
    return "spawn_error", "exact", f"the sandbox could not be prepared: {failure.step}: {failure.message}"


def _lost(end: Ending, _: Limits) -> Verdict | None:
    if end.status is None and end.intent is None:
        return (
            "worker_lost",
            "exact",
            "the keeper beside the job died, and the job with it; nothing says how it would have ended",
        )
    return None


def _cancelled(end: Ending, _: Limits) -> Verdict | None:
    if end.intent == "cancelled" and end.ended_by_us:
        return "cancelled", "exact", "cancelled while it ran"
    return None


def _interrupted(end: Ending, _: Limits) -> Verdict | None:
    if end.intent == "interrupted" and end.ended_by_us:
        return "interrupted", "exact", "ended because the supervisor was shutting down"
    return None


def _timeout(end: Ending, limits: Limits) -> Verdict | None:
    if end.intent == "timeout" and end.ended_by_us:
        allowed = format_duration(limits.wall_s) if limits.wall_s is not None else "its limit"
        return "timeout", "exact", f"ended after {allowed}, its time limit: raise it with --timeout"
    return None


def _output(end: Ending, limits: Limits) -> Verdict | None:
    if end.output_over or (end.intent == "output_limit" and end.ended_by_us):
        kept = format_size(limits.output_bytes) if limits.output_bytes is not None else "its limit"
        return (
            "output_limit",
            "exact",
            f"wrote more than {kept} to one stream, the rest was cut off: raise it with --output",
        )
    return None


def _memory_exact(end: Ending, limits: Limits) -> Verdict | None:
    if end.killed_for == "memory":
        return "memory_limit", "exact", _memory_sentence(limits)
    return None


def _cpu(end: Ending, limits: Limits) -> Verdict | None:
    if limits.cpu_s is None:
        return None
    number = end.signal
    # The kernel's own limit lies a second above: a job that sends itself the signal before has not used its time.
    by_kernel = (number == signal.SIGXCPU and end.cpu_s >= limits.cpu_s) or (
        number == signal.SIGKILL and not end.ended_by_us and end.cpu_s >= limits.cpu_s + 1.8
    )
    if end.killed_for == "cpu" or by_kernel:
        return "cpu_limit", "exact", f"used {format_duration(limits.cpu_s)} of CPU time, its limit: raise it with --cpu"
    return None


def _file_exact(end: Ending, limits: Limits) -> Verdict | None:
    if end.signal == signal.SIGXFSZ:
        return "file_limit", "exact", _file_sentence(limits)
    return None


def _memory_inferred(end: Ending, limits: Limits) -> Verdict | None:
    if limits.memory_bytes is None or not _crashed(end):
        return None
    if max(end.peak_memory_bytes, end.max_rss_bytes) >= 0.75 * limits.memory_bytes:
        return "memory_limit", "inferred", _memory_sentence(limits, "very likely ")
    return None


def _processes_exact(end: Ending, limits: Limits) -> Verdict | None:
    if end.pids_refused and end.abnormal and limits.processes is not None:
        return "process_limit", "exact", _processes_sentence(limits)
    return None


def _processes_inferred(end: Ending, limits: Limits) -> Verdict | None:
    if limits.processes is None or not end.abnormal:
        return None
    if end.peak_processes >= 0.9 * limits.processes and _NO_PROCESS_TEXT.search(end.stderr_tail):
        return "process_limit", "inferred", _processes_sentence(limits)
    return None


def _memory_text(end: Ending, limits: Limits) -> Verdict | None:
    if limits.memory_bytes is not None and end.abnormal and _OUT_OF_MEMORY_TEXT.search(end.stderr_tail):
        return "memory_limit", "text", _memory_sentence(limits, "by its own words ")
    return None


def _file_text(end: Ending, limits: Limits) -> Verdict | None:
    if limits.file_size_bytes is not None and end.abnormal and _FILE_TOO_LARGE_TEXT.search(end.stderr_tail):
        return "file_limit", "text", _file_sentence(limits)
    return None


def _signalled(end: Ending, _: Limits) -> Verdict | None:
    number = end.signal
    if number is None:
        return None
    return "signal", "exact", f"ended by {signal_name(number)}, which was not sent by the supervisor"


def _exited(end: Ending, _: Limits) -> Verdict | None:
    code = end.exit_code
    if code:
        return "exit", "exact", f"exited with code {code}"
    return None


def _ok(end: Ending, _: Limits) -> Verdict | None:
    if end.exit_code == 0:
        return "ok", "exact", "completed"
    return None


def _unknown(end: Ending, _: Limits) -> Verdict | None:
    return "worker_lost", "exact", "its end could not be read, so it does not count as a success"


_RULES: Final[tuple[Rule, ...]] = (
    _stuck,
    _launch_failed,
    _lost,
    _cancelled,
    _interrupted,
    _timeout,
    _output,
    _memory_exact,
    _cpu,
    _file_exact,
    _processes_exact,
    _memory_inferred,
    _processes_inferred,
    _memory_text,
    _file_text,
    _signalled,
    _exited,
    _ok,
    _unknown,
)


def _crashed(end: Ending) -> bool:
    return end.signal in _CRASH_SIGNALS or end.exit_code in _CRASH_CODES


def _retryable(reason: str, end: Ending) -> bool:
    if reason != "spawn_error":
        return reason not in ("cancelled", "rejected", "stuck")
    failure = end.launch_failure
    return failure is not None and failure.kind == "sandbox"


def _memory_sentence(limits: Limits, how: str = "") -> str:
    limit = format_size(limits.memory_bytes) if limits.memory_bytes is not None else "its limit"
    verb = "killed" if not how else f"{how}ended"
    return f"{verb} at {limit}, its memory limit: raise it with --memory"


def _processes_sentence(limits: Limits) -> str:
    return f"could not start another process or thread, its limit is {limits.processes}: raise it with --processes"


def _file_sentence(limits: Limits) -> str:
    limit = format_size(limits.file_size_bytes) if limits.file_size_bytes is not None else "allowed"
    return f"wrote a file larger than {limit}: raise it with --file-size"


def _exec_sentence(failure: LaunchFailure, program: str) -> str:
    explanations = {
        errnos.ENOENT: "there is no such program (or the interpreter on its #! line is missing)",
        errnos.EACCES: "it may not be executed by the job's user",
        errnos.ENOEXEC: "it is no program that this machine can run, and has no #! line",
        errnos.E2BIG: "its arguments and environment are too long together",
    }
    why = explanations.get(failure.errno, failure.message)
    return f"could not start {program or 'the program'}: {why}"


def _with_hints(message: str, reason: str, end: Ending, network: bool) -> str:
    if reason != "exit":
        return message
    module = _NO_MODULE_TEXT.search(end.stderr_tail)
    if module is not None:
        name = (module[1] or module[2]).decode("utf-8", "replace")
        if name.startswith((".", "/")):
            return (
                f"{message}: it did not find {name!r}: only the submitted file is there, "
                "add others with --file or submit the folder"
            )
        return (
            f"{message}: it did not find the module {name!r}: submit the folder with its modules, "
            "or give the pool a modules folder"
        )
    if not network and _NO_NETWORK_TEXT.search(end.stderr_tail):
        return f"{message}: it could not reach the network, which is off for this job: allow it with --network"
    return message
