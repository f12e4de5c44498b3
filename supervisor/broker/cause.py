"""Why a job ended as it did, from its record: the cause, what it used, how sure that is, what is left. Pure.

Attempts that were lost are told apart from those that failed: only the latter use up the retries.
"""

from __future__ import annotations

from typing import Any, Final

from supervisor.broker.allowance import ASPECT_OF
from supervisor.broker.sentence import Sentence, count_of, limit_words, listed, raise_limit, stop
from supervisor.config import Pool
from supervisor.core.names import CANCELLED, COMPLETED, EVIDENCE, REASONS
from supervisor.core.retry import LOSS_BUDGET, NOT_COUNTED, RETRYABLE
from supervisor.core.units import format_duration
from supervisor.store import Standing

LIMIT_OF: Final = {
    "timeout": "wall_s",
    "cpu_limit": "cpu_s",
    "memory_limit": "memory_bytes",
    "process_limit": "processes",
    "file_limit": "file_size_bytes",
    "output_limit": "output_bytes",
}
"""The limit that a reason is about."""
_OWN_WORDS: Final = frozenset({"exit", "signal"})
"""Reasons that only the job's own output can explain."""


def ended(view: dict[str, Any], standing: Standing, pool: Pool | None) -> list[Sentence]:
    """All that is to be said of a job that is final."""
    last = last_ended(view)
    sentences = [_verdict(view, standing, last, pool)]
    if last is not None and view["reason"] == last["reason"]:
        sentences += attempt_details(last, view, pool)
    if view["state"] != COMPLETED:
        sentences += _tries(view, standing)
    sentences += losses(view, standing)
    sentences += earlier(view)
    sentences += _findings(view)
    if view["state"] != COMPLETED:
        sentences.append(
            Sentence(
                "It can be queued again as it was submitted; other options take a new submit.",
                f"workerctl retry {view['id']}",
            )
        )
    return sentences


def last_ended(view: dict[str, Any]) -> dict[str, Any] | None:
    """The newest attempt that has ended, None if none has."""
    ended_ones = [attempt for attempt in view["attempts"] if attempt["reason"] is not None]
    return ended_ones[-1] if ended_ones else None


def _verdict(view: dict[str, Any], standing: Standing, last: dict[str, Any] | None, pool: Pool | None) -> Sentence:
    reason, message = view["reason"], view["message"]
    if view["state"] == CANCELLED and reason == "cancelled":
        who = f" by uid {standing.cancelled_by}" if standing.cancelled_by is not None else ""
        why = f": {standing.cancel_reason}" if standing.cancel_reason else ""
        when = "while it ran" if last is not None and last["reason"] == "cancelled" else "before it ran"
        return Sentence(f"It was cancelled{who} {when}{why}.")
    took = f" after {format_duration(last['wall_s'])}" if last is not None and last["wall_s"] is not None else ""
    if view["state"] == COMPLETED:
        return Sentence(f"It completed{took}: its main process exited with code 0.")
    change = raise_limit(LIMIT_OF[reason], view["limits"], pool) if reason in LIMIT_OF else None
    if reason in _OWN_WORDS:
        change = f"workerctl logs --stderr {view['id']}"
    if view["state"] == CANCELLED:
        why = stop(message or REASONS.get(reason, reason))
        return Sentence(f"It was cancelled before it ran, reason {reason}: {why}", "--after JOB:any")
    return Sentence(
        f"It {view['state']}{took}, reason {reason}: {stop(message or REASONS.get(reason, reason))}", change
    )


def attempt_details(last: dict[str, Any], view: dict[str, Any], pool: Pool | None) -> list[Sentence]:
    """What an ended attempt used of its limits, how its cause is known, what it left behind."""
    sentences = [used(last, view["limits"])]
    limit = LIMIT_OF.get(last["reason"], "")
    how = (last["enforced"] or {}).get(ASPECT_OF.get(limit, ""))
    if how:
        sentences.append(Sentence(f"That limit is held so: {stop(how)}"))
    if last["reason"] != "ok" and last["evidence"] is not None:
        sentences.append(_evidence(last["evidence"]))
    if last["leftover_killed"]:
        left = count_of(last["leftover_killed"], "process", "processes")
        sentences.append(
            Sentence(
                f"It left {left} behind when its main process ended; they were killed.",
                "let the script wait for what it starts",
            )
        )
    if last["truncated"] and limit != "output_bytes":
        kept = limit_words("output_bytes", view["limits"].get("output_bytes"))
        sentences.append(
            Sentence(
                f"Its output was cut: {kept} of a stream are kept.",
                raise_limit("output_bytes", view["limits"], pool),
            )
        )
    return sentences


def used(attempt: dict[str, Any], limits: dict[str, Any]) -> Sentence:
    """`Used of its limits: time 1 s of 10 min, …`."""
    parts = []
    for name, words, value in (
        ("wall_s", "time", attempt["wall_s"]),
        ("cpu_s", "CPU", attempt["cpu_s"]),
        ("memory_bytes", "memory", attempt["peak_memory_bytes"]),
        ("output_bytes", "stdout", attempt["stdout_bytes"]),
        ("output_bytes", "stderr", attempt["stderr_bytes"]),
    ):
        if value is not None:
            limit = limits.get(name)
            most = "without a limit" if limit is None else f"of {limit_words(name, limit)}"
            parts.append(f"{words} {limit_words(name, value)} {most}")
    where = f" (attempt {attempt['number']} on {attempt['worker']}"
    where += f", isolation {attempt['isolation']})" if attempt["isolation"] else ")"
    if not parts:
        return Sentence(f"Nobody measured what it used{where}.")
    return Sentence(f"It used{where}: {', '.join(parts)}.")


def _evidence(evidence: str) -> Sentence:
    sure = {
        "exact": "That is certain",
        "inferred": "That is inferred, not certain",
        "text": "That is only what its own output suggests",
    }
    return Sentence(f"{sure.get(evidence, f'Evidence {evidence}')}: {EVIDENCE.get(evidence, evidence)}.")


def _tries(view: dict[str, Any], standing: Standing) -> list[Sentence]:
    """Why it was not tried (again)."""
    if view["reason"] in NOT_COUNTED:
        return _lost_for_good(view, standing)
    if view["state"] == CANCELLED or not view["attempts"]:
        return []
    allowed, failures = view["retries"], standing.failures
    if not allowed:
        return [Sentence("It was not tried again: no retries were allowed.", "--retries 3")]
    if failures <= allowed and view["reason"] in RETRYABLE and view["reason"] not in standing.retry_on:
        left = f"{allowed - failures + 1} of {allowed} left"
        return [
            Sentence(
                f"It was not tried again ({left}): its pool retries only after {listed([*standing.retry_on], 9)}."
                if standing.retry_on
                else f"It was not tried again ({left}): its pool retries after no reason.",
                "setting pools.NAME.retry_on",
            )
        ]
    if failures <= allowed:
        left = count_of(allowed - failures + 1, "retry", "retries") + (" is" if failures == allowed else " are")
        return [Sentence(f"It was not tried again although {left} left: another try would end the same way.")]
    return [
        Sentence(
            f"No retry is left: {count_of(failures, 'attempt')} failed, {count_of(allowed, 'retry', 'retries')} "
            f"{'was' if allowed == 1 else 'were'} allowed.",
            f"--retries {2 * allowed}",
        )
    ]


def _lost_for_good(view: dict[str, Any], standing: Standing) -> list[Sentence]:
    if standing.losses > LOSS_BUDGET:
        return [
            Sentence(
                f"It is poison: {count_of(standing.losses, 'time')} its worker or the machine died under it, and after "
                f"{LOSS_BUDGET} of them it was given another one. Very likely the job itself kills its worker.",
                f"workerctl show {view['id']}",
            )
        ]
    if standing.on_loss == "fail":
        return [
            Sentence("It was submitted with --on-loss fail: what was lost is not run twice.", "--on-loss requeue"),
        ]
    return []


def losses(view: dict[str, Any], standing: Standing) -> list[Sentence]:
    """How often it was lost with its worker or machine, and how many times more it would be run again."""
    if not standing.losses or (view["reason"] in NOT_COUNTED and standing.losses > LOSS_BUDGET):
        return []
    sentence = f"It was lost {count_of(standing.losses, 'time')} with its worker or the machine; that uses up no retry."
    left = LOSS_BUDGET - standing.losses
    if view["finished_at"] is None and standing.on_loss == "requeue":
        sentence += f" {left or 'No'} more would be run again, after that it fails as poison."
    return [Sentence(sentence)]


def earlier(view: dict[str, Any]) -> list[Sentence]:
    """How the attempts before the last one ended."""
    before = [f"attempt {one['number']} {one['reason']}" for one in view["attempts"][:-1] if one["reason"] is not None]
    if not before:
        return []
    return [Sentence(f"Before that: {listed(list(reversed(before)))}.")]


def _findings(view: dict[str, Any]) -> list[Sentence]:
    """What the code check noticed at the submit: advice, no cause."""
    found = [f"line {one['line']}: {one['message']}" for one in view.get("findings") or ()]
    return [Sentence(f"When it was submitted, the code check noticed {listed(found, 3)}.")] if found else []
