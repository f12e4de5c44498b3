"""From what was measured and intended to one outcome: the table, the precedence, and what must never happen."""

from __future__ import annotations

import errno
import signal
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from supervisor.core import classify as classification
from supervisor.core import names
from supervisor.core.classify import classify
from supervisor.core.limits import LIMIT_NAMES, MIB, Limits
from supervisor.core.outcome import Ending, LaunchFailure, Outcome, signal_name

NO_LIMITS = Limits(**dict.fromkeys(LIMIT_NAMES, None))
OUT_OF_MEMORY = b"FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n"
NO_SUCH_FILE = LaunchFailure(step="exec", errno=errno.ENOENT, message="No such file or directory", kind="exec")
NO_MOUNT = LaunchFailure(step="mount", errno=errno.EPERM, message="Operation not permitted", kind="sandbox")


def exited(code: int) -> int:
    return code << 8


def killed(number: int) -> int:
    return int(number)


def _classify(limits: Limits | None = None, **end: Any) -> Outcome:
    return classify(Ending(**end), limits or Limits())


ENDS = [
    ({"status": exited(0)}, "ok", "exact"),
    ({"status": exited(7)}, "exit", "exact"),
    ({"status": killed(signal.SIGSEGV)}, "signal", "exact"),
    ({"status": killed(signal.SIGKILL)}, "signal", "exact"),
    ({"status": killed(signal.SIGTERM)}, "signal", "exact"),
    ({}, "worker_lost", "exact"),
    ({"stuck": True}, "stuck", "exact"),
    ({"stuck": True, "intent": "timeout", "on_request": True}, "stuck", "exact"),
    ({"launch_failure": NO_SUCH_FILE}, "spawn_error", "exact"),
    ({"launch_failure": NO_MOUNT}, "spawn_error", "exact"),
    ({"launch_failure": NO_MOUNT, "intent": "cancelled"}, "spawn_error", "exact"),
    # An own kill counts only if the main process was still there when it came.
    ({"status": killed(9), "intent": "cancelled", "on_request": True}, "cancelled", "exact"),
    ({"status": exited(0), "intent": "cancelled", "on_request": True}, "cancelled", "exact"),
    ({"status": exited(0), "intent": "cancelled"}, "ok", "exact"),
    ({"status": None, "intent": "cancelled"}, "cancelled", "exact"),
    ({"status": killed(9), "intent": "timeout", "on_request": True}, "timeout", "exact"),
    ({"status": exited(0), "intent": "timeout", "on_request": True}, "timeout", "exact"),
    ({"status": exited(3), "intent": "timeout"}, "exit", "exact"),
    ({"status": killed(15), "intent": "interrupted", "on_request": True}, "interrupted", "exact"),
    ({"status": exited(0), "intent": "interrupted"}, "ok", "exact"),
    ({"status": killed(9), "intent": "output_limit", "on_request": True}, "output_limit", "exact"),
    ({"status": exited(0), "output_over": True}, "output_limit", "exact"),
    ({"status": killed(9), "killed_for": "memory"}, "memory_limit", "exact"),
    ({"status": killed(9), "killed_for": "cpu"}, "cpu_limit", "exact"),
    ({"status": killed(signal.SIGXCPU), "cpu_s": 601.0}, "cpu_limit", "exact"),
    ({"status": killed(signal.SIGXCPU), "cpu_s": 599.0}, "signal", "exact"),
    ({"status": killed(signal.SIGXCPU), "cpu_s": 1.0}, "signal", "exact"),
    ({"status": killed(signal.SIGKILL), "cpu_s": 602.0}, "cpu_limit", "exact"),
    ({"status": killed(signal.SIGXFSZ)}, "file_limit", "exact"),
    # Concluded from how it ended and what was measured.
    ({"status": killed(signal.SIGABRT), "peak_memory_bytes": 400 * MIB}, "memory_limit", "inferred"),
    ({"status": exited(134), "max_rss_bytes": 400 * MIB}, "memory_limit", "inferred"),
    ({"status": exited(1), "peak_memory_bytes": 400 * MIB}, "exit", "exact"),
    ({"status": exited(0), "peak_memory_bytes": 512 * MIB}, "ok", "exact"),
    (
        {"status": exited(1), "peak_processes": 250, "stderr_tail": b"fork: EAGAIN"},
        "process_limit",
        "inferred",
    ),
    ({"status": exited(1), "peak_processes": 5, "stderr_tail": b"fork: EAGAIN"}, "exit", "exact"),
    # Concluded from the job's own words: never a success, never over an exact cause.
    ({"status": exited(134), "stderr_tail": OUT_OF_MEMORY}, "memory_limit", "text"),
    ({"status": exited(0), "stderr_tail": OUT_OF_MEMORY}, "ok", "exact"),
    ({"status": killed(9), "killed_for": "cpu", "stderr_tail": OUT_OF_MEMORY}, "cpu_limit", "exact"),
    ({"status": exited(1), "stderr_tail": b"Error: EFBIG: file too large"}, "file_limit", "text"),
]


@pytest.mark.parametrize(("end", "reason", "evidence"), ENDS)
def test_how_it_ended(end: dict[str, Any], reason: str, evidence: str) -> None:
    outcome = _classify(**end)
    assert (outcome.reason, outcome.evidence) == (reason, evidence)


def test_every_reason_of_a_process_that_ended_is_in_the_table() -> None:
    """The others are given to jobs that have no process: by the store, the broker, or the code check."""
    assert {reason for _, reason, _ in ENDS} == set(names.REASONS) - {"host_lost", "dependency", "rejected"}


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ({"status": killed(9), "intent": "timeout", "on_request": True}, ["10 min", "--timeout"]),
        ({"status": exited(0), "output_over": True}, ["16 MiB", "--output"]),
        ({"status": killed(9), "killed_for": "memory"}, ["killed at 512 MiB", "--memory"]),
        ({"status": killed(9), "killed_for": "cpu"}, ["10 min", "--cpu"]),
        ({"status": killed(signal.SIGXFSZ)}, ["256 MiB", "--file-size"]),
        ({"status": exited(1), "peak_processes": 256, "stderr_tail": b"Cannot fork"}, ["256", "--processes"]),
        ({"status": exited(1), "stderr_tail": b"Error: Cannot find module 'left-pad'"}, ["'left-pad'", "modules"]),
        ({"status": exited(1), "stderr_tail": b"ModuleNotFoundError: No module named 'numpy'"}, ["'numpy'"]),
        ({"status": exited(1), "stderr_tail": b"Error: Cannot find module './other'"}, ["'./other'", "--file"]),
        ({"launch_failure": NO_SUCH_FILE, "program": "/bin/nothing"}, ["/bin/nothing", "no such program"]),
        ({"launch_failure": NO_MOUNT}, ["sandbox", "mount", "Operation not permitted"]),
        ({"status": killed(signal.SIGSEGV)}, ["SIGSEGV", "not sent by the supervisor"]),
        ({"status": exited(7)}, ["code 7"]),
    ],
)
def test_the_sentence_names_what_to_change(end: dict[str, Any], said: list[str]) -> None:
    message = _classify(**end).message
    assert all(word in message for word in said), message


def test_the_network_is_named_only_where_it_is_off() -> None:
    end = Ending(status=exited(1), stderr_tail=b"Error: getaddrinfo EAI_AGAIN example.org")
    assert "--network" in classify(end, Limits(), network=False).message
    assert "--network" not in classify(end, Limits(), network=True).message


@pytest.mark.parametrize(
    ("end", "retryable"),
    [
        ({"status": exited(1)}, True),
        ({"status": killed(9), "intent": "timeout", "on_request": True}, True),
        ({}, True),
        ({"launch_failure": NO_MOUNT}, True),
        ({"launch_failure": NO_SUCH_FILE}, False),
        ({"stuck": True}, False),
        ({"status": killed(9), "intent": "cancelled", "on_request": True}, False),
    ],
)
def test_what_may_be_tried_again(end: dict[str, Any], retryable: bool) -> None:
    assert _classify(**end).retryable is retryable


def test_what_was_measured_is_kept() -> None:
    outcome = _classify(
        status=exited(3),
        wall_s=1.23456789,
        cpu_s=0.1,
        peak_memory_bytes=5,
        max_rss_bytes=9,
        stdout_bytes=7,
        stderr_bytes=8,
        leftover_killed=2,
    )
    assert (outcome.exit_code, outcome.signal) == (3, None)
    assert (outcome.wall_s, outcome.cpu_s, outcome.peak_memory_bytes) == (1.234568, 0.1, 9)
    assert (outcome.stdout_bytes, outcome.stderr_bytes, outcome.leftover_killed) == (7, 8, 2)


def test_a_signal_has_its_name_or_its_number() -> None:
    assert signal_name(9) == "SIGKILL"
    assert signal_name(40).startswith("SIG")
    assert signal_name(999) == "SIG999"


STATUSES = st.none() | st.integers(0, 255).map(exited) | st.integers(1, 31).map(killed)
LAUNCH_FAILURES = st.none() | st.builds(
    LaunchFailure,
    step=st.text(max_size=5),
    errno=st.integers(0, 133),
    message=st.text(max_size=5),
    kind=st.sampled_from(["sandbox", "exec"]),
)
ENDINGS = st.builds(
    Ending,
    status=STATUSES,
    launch_failure=LAUNCH_FAILURES,
    killed_for=st.sampled_from([None, None, "memory", "cpu"]),
    intent=st.sampled_from([None, None, "timeout", "cancelled", "output_limit", "interrupted"]),
    on_request=st.booleans(),
    stuck=st.sampled_from([False, False, False, True]),
    wall_s=st.floats(0, 1e6),
    cpu_s=st.floats(0, 1e6),
    peak_memory_bytes=st.integers(0, 2**40),
    max_rss_bytes=st.integers(0, 2**40),
    peak_processes=st.integers(0, 10**4),
    output_over=st.booleans(),
    stderr_tail=st.sampled_from([b"", OUT_OF_MEMORY, b"EFBIG", b"EAGAIN", b"Cannot find module 'x'"]) | st.binary(),
)
LIMITS = st.sampled_from([Limits(), NO_LIMITS, Limits(memory_bytes=None), Limits(cpu_s=None, wall_s=None)])


@given(ENDINGS, LIMITS, st.booleans())
def test_every_ending_has_one_honest_outcome(end: Ending, limits: Limits, network: bool) -> None:
    outcome = classify(end, limits, network=network)
    assert outcome.reason in names.REASONS
    assert outcome.evidence in names.EVIDENCE
    assert outcome.message
    told = (end.launch_failure.step, end.launch_failure.message, end.program) if end.launch_failure is not None else ()
    assert "\n" not in outcome.message or "\n" in "".join(told)
    assert outcome.exit_code is None or outcome.signal is None
    if outcome.reason == "ok":
        assert end.status == 0
        assert outcome.exit_code == 0
    if outcome.reason in ("timeout", "cancelled", "interrupted"):
        assert end.intent == outcome.reason
    if end.status == 0 and end.intent is None and not (end.stuck or end.launch_failure or end.output_over):
        assert outcome.reason in ("ok", "memory_limit", "cpu_limit")
        assert outcome.reason == "ok" or end.killed_for is not None


@given(ENDINGS, LIMITS)
def test_the_jobs_own_words_never_change_an_exact_cause(end: Ending, limits: Limits) -> None:
    outcome = classify(end, limits)
    silent = classify(
        Ending(**{name: getattr(end, name) for name in end.__struct_fields__} | {"stderr_tail": b""}), limits
    )
    if outcome.evidence == "text":
        assert silent.reason in ("exit", "signal")
    elif outcome.evidence == "exact":
        assert outcome.reason == silent.reason


@given(
    st.builds(
        Ending,
        status=st.just(0),
        on_request=st.booleans(),
        cpu_s=st.floats(0, 1e6),
        peak_memory_bytes=st.integers(0, 2**40),
        max_rss_bytes=st.integers(0, 2**40),
        peak_processes=st.integers(0, 10_000),
        pids_refused=st.booleans(),
        leftover_killed=st.integers(0, 9),
        stderr_tail=st.sampled_from([b"", b"heap out of memory", b"EFBIG", b"EAGAIN Cannot fork"]),
    )
)
def test_of_an_unremarkable_end_no_rule_says_anything_but_ok(end: Ending) -> None:
    assert not end.remarkable
    assert next(rule for rule in classification._RULES if rule(end, Limits())) is classification._ok
